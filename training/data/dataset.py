"""A folder of scans in SemanticKITTI's layout: `<root>/sequences/SS/{velodyne/*.bin, labels/*.label}`."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pvd_core.borders.errors import UserError
from pvd_core.borders.wording import counted
from pvd_core.clouds.judge import Wording, judge
from pvd_core.clouds.measured import is_measured, measured_points
from training.data.scan_files import read_class_ids, read_points, read_raw_labels
from training.simulate.folder import SIMULATION_FILE

SPLITS = {
    "train": ("00", "01", "02", "03", "04", "05", "06", "07", "09", "10"),
    "valid": ("08",),
    "test": ("11", "12", "13", "14", "15", "16", "17", "18", "19", "20", "21"),
}


@dataclass(frozen=True)
class Scan:
    sequence: str
    frame: str
    points_path: Path
    labels_path: Path
    """Of the test split there is no such file."""

    @property
    def name(self) -> str:
        return f"{self.sequence}/{self.frame}"


class ScanFolder:
    """The scans of some sequences, sorted by sequence and frame.

    `choice`: a split ("train", "valid" or "test": those of its official sequences that exist), or one or several names
    of sequences, which must all exist. Every scan must have its label file, except in the test split. UserError says
    what is missing.
    """

    def __init__(self, root: str | Path, choice: str | Sequence[str]) -> None:
        self.root = Path(root)
        self.sequences, self.missing_sequences = _sequences(self.root, choice)
        has_labels = choice != "test"
        self.scans = [scan for sequence in self.sequences for scan in _scans(self.root, sequence, has_labels)]
        self.choice = choice
        self.intensity_max = _intensity_max(self.root)

    def __len__(self) -> int:
        return len(self.scans)

    def points(self, index: int) -> np.ndarray:
        """float32 (N, 4): x, y, z in metres, intensity. A simulated sensor's intensity of 0..255 becomes 0..1."""
        points = read_points(self.scans[index].points_path)
        if self.intensity_max > 1:
            points[:, 3] /= np.float32(self.intensity_max)
        return points

    def labelled_points(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """(points float32 (N, 4), class ids uint8 (N,))."""
        points = self.points(index)
        return points, read_class_ids(self.scans[index].labels_path, len(points))

    def labelled_instances(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(points float32 (N, 4), class ids uint8 (N,), instance ids uint16 (N,), 0 for none)."""
        points, class_ids = self.labelled_points(index)
        raw = read_raw_labels(self.scans[index].labels_path, len(points))
        return points, class_ids, (raw >> 16).astype(np.uint16)

    def class_ids(self, index: int) -> np.ndarray:
        """Class ids uint8 (N,) of a scan, without reading its points."""
        scan = self.scans[index]
        return read_class_ids(scan.labels_path, scan.points_path.stat().st_size // 16)

    def evenly_spaced(self, max_scans: int | None = None) -> list[int]:
        """Scan numbers: all of them, or `max_scans` of them spread over the folder."""
        if max_scans is None or max_scans >= len(self):
            return list(range(len(self)))
        return [i * len(self) // max_scans for i in range(max_scans)]

    def describe(self) -> str:
        """One line: the scans that are used and the sequences of the split that are missing."""
        text = f"{self.root}: {counted(len(self), 'scan')} of sequences {', '.join(self.sequences)}"
        if self.missing_sequences:
            text += f" (of the split {self.choice!r} not there: {', '.join(self.missing_sequences)})"
        if self.intensity_max > 1:
            text += f"; intensity is divided by {self.intensity_max:g}, as {SIMULATION_FILE} says"
        return text

    def remark(self) -> str:
        """What of the first scan is not as networks expect it, for the user; "" if there is nothing."""
        remarks = map(Wording().sentence, judge(self.points(0)))
        return "; ".join(f"{self.scans[0].points_path}: {remark}" for remark in remarks)

    def fingerprint(self) -> str:
        """Text that changes when scans are added, removed or renamed."""
        return hashlib.sha256("\n".join(scan.name for scan in self.scans).encode()).hexdigest()


def usable_points(points: np.ndarray, *labels: np.ndarray) -> tuple[np.ndarray, ...]:
    """The measured points of a scan, which are those that the Segmenter would label, and their rows of each array of
    `labels`. `points` float32 (N, 4); arrays (N,)."""
    measured_N = is_measured(points)
    return measured_points(points, measured_N), *(array[measured_N] for array in labels)


def _intensity_max(root: Path) -> float:
    """The largest intensity that the sensor of a simulated data set reports; 1 for any other data set."""
    try:
        return max(1.0, float(json.loads((root / SIMULATION_FILE).read_text())["intensity_max"]))
    except (OSError, ValueError, KeyError, TypeError):
        return 1.0


def _sequences(root: Path, choice: str | Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(the chosen sequences, those of a split that are missing)."""
    folder = root / "sequences"
    if not root.is_dir():
        raise UserError(f"data set folder {root} does not exist; give the folder that holds 'sequences'")
    if not folder.is_dir():
        hint = f"; give its parent {root.parent} instead" if root.name == "sequences" else ""
        raise UserError(
            f"{root} has no folder 'sequences': expected SemanticKITTI's layout, sequences/SS/velodyne{hint}"
        )
    existing = sorted(path.name for path in folder.iterdir() if (path / "velodyne").is_dir())
    wanted, is_split = _wanted(choice), isinstance(choice, str) and choice in SPLITS
    missing = tuple(name for name in wanted if name not in existing)
    used = tuple(name for name in wanted if name in existing)
    if not used or (missing and not is_split):
        split = f" of split {choice!r}" if is_split else ""
        raise UserError(
            f"{folder} has no sequence {', '.join(missing)}{split}; found {', '.join(existing) or 'none with velodyne'}"
        )
    return used, missing if is_split else ()


def _wanted(choice: str | Sequence[str]) -> tuple[str, ...]:
    if isinstance(choice, str):
        if choice in SPLITS:
            return SPLITS[choice]
        if not choice.isdigit():
            known = ", ".join(SPLITS)
            raise UserError(f"unknown split {choice!r}: expected {known}, a sequence like 08 or a list like [00, 08]")
        choice = (choice,)
    # YAML drops the leading zero of 00.
    names = tuple(str(name).zfill(2) for name in choice)
    if not names or len(set(names)) < len(names):
        raise UserError(f"sequences {list(names)}: expected at least one, each once")
    return tuple(sorted(names))


def _scans(root: Path, sequence: str, has_labels: bool) -> list[Scan]:
    folder = root / "sequences" / sequence
    points_paths = sorted((folder / "velodyne").glob("*.bin"))
    if not points_paths:
        raise UserError(f"{folder / 'velodyne'} holds no .bin scans; copy them there or leave sequence {sequence} out")
    labels_paths = [folder / "labels" / f"{path.stem}.label" for path in points_paths]
    if has_labels:
        missing = [path for path in labels_paths if not path.is_file()]
        if missing:
            raise UserError(
                f"{len(missing)} of {len(points_paths)} scans of sequence {sequence} have no labels; "
                f"the first missing file is {missing[0]}"
            )
    return [
        Scan(sequence, points.stem, points, labels) for points, labels in zip(points_paths, labels_paths, strict=True)
    ]
