"""The record beside label files: which weights and options made each of them, so that --resume knows what it may keep.

A line of JSON for each set of weights and options that was used, and one for each label file. Lines are only added; of
several for one file the last one counts. A file is known by checksums of the scan and of its labels, and by what the
intensity was multiplied by, which other scans may have decided.
"""

import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pvd_core.borders.errors import UserError
from pvd_core.borders.files import sha256_of
from pvd_core.borders.wording import counted

NAME = "predict.jsonl"


class LabelRecord:
    """The record in the folder `out`. `options`: all that labels depend on besides the scan and the weights."""

    def __init__(self, out: Path, weights: Sequence[Path], options: Mapping[str, Any]) -> None:
        self.path = out / NAME
        self._out = out
        made_with = {"weights_sha256": ",".join(sorted(map(sha256_of, weights))), **options}
        self._key = hashlib.sha256(json.dumps(made_with, sort_keys=True).encode()).hexdigest()[:16]
        names = ", ".join(path.name for path in weights)
        self._maker = {"weights": names, **{name: str(value) for name, value in made_with.items()}}
        self._has_begun = False
        self._makers: dict[str, dict[str, str]] = {}
        self._files: dict[str, dict[str, Any]] = {}
        for line in _lines(self.path):
            if isinstance(line.get("made_with"), dict):
                self._makers[str(line.get("id"))] = line["made_with"]
            elif isinstance(line.get("file"), str):
                self._files[line["file"]] = line

    def check_own(self, label_paths: Iterable[Path]) -> None:
        """UserError, which says what differs, if other weights or options, or an unknown program, made one of these
        files."""
        others = [path for path in label_paths if self._files.get(self._name(path), {}).get("by") != self._key]
        if not others:
            return
        more = f" and {counted(len(others) - 1, 'more file')}" if len(others) > 1 else ""
        maker = self._makers.get(str(self._files.get(self._name(others[0]), {}).get("by")))
        reason = f"made with {self._difference(maker)}" if maker else f"not made by a command that wrote {self.path}"
        raise UserError(
            f"{others[0]}{more}: {reason}, so --resume cannot keep them; name another folder with --out, or label all "
            "anew with --overwrite"
        )

    def is_unchanged(self, path: Path, points: np.ndarray, intensity_factor: float) -> bool:
        """Whether the label file `path` is as it was written, for these `points`, float32 (N, 4), and this factor of
        their intensity."""
        line = self._files.get(self._name(path), {})
        made_of = _facts(points, intensity_factor, path.read_bytes())
        return {name: line.get(name) for name in made_of} == made_of

    def add(self, path: Path, points: np.ndarray, intensity_factor: float, content: bytes) -> None:
        """Adds the label file `path`, about to be written with this content for these points and this factor of their
        intensity. UserError if it cannot. Added first, so that after a kill no file is without its line."""
        made_of = _facts(points, intensity_factor, content)
        lines: list[dict[str, Any]] = [{"file": self._name(path), "by": self._key, **made_of}]
        if not self._has_begun:
            self._has_begun = True
            lines.insert(0, {"id": self._key, "made_with": self._maker})
        # A line begins with its newline: a killed process may have left half a line.
        text = "".join(f"\n{json.dumps(line)}" for line in lines)
        try:
            self._out.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise UserError(
                f"cannot write {self.path}: {error.strerror or error}; free space or choose another folder"
            ) from error

    def _name(self, path: Path) -> str:
        return path.relative_to(self._out).as_posix()

    def _difference(self, maker: Mapping[str, str]) -> str:
        """What the weights and options of `maker` were where they differ: "precision bf16 instead of fp32"."""
        parts = [
            f"{name.replace('_', ' ')} {maker.get(name, 'unknown')} instead of {value}"
            for name, value in self._maker.items()
            if maker.get(name) != value and name != "weights_sha256"
        ]
        return ", ".join(parts) or f"another file of the name {self._maker['weights']}"


def _lines(path: Path) -> Iterable[dict[str, Any]]:
    """The objects in a file; lines that are cut or nonsense are left out."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}; move it away") from error
    for line in text.splitlines():
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(values, dict):
            yield values


def _facts(points: np.ndarray, intensity_factor: float, content: bytes) -> dict[str, Any]:
    """What is recorded of a scan and its labels."""
    scan_crc32 = zlib.crc32(np.ascontiguousarray(points).data)
    return {"scan_crc32": scan_crc32, "intensity_factor": intensity_factor, "crc32": zlib.crc32(content)}
