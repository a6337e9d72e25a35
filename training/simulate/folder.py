"""The folder of a simulated data set. It is never overwritten, can be continued after an interrupt, and records whether
it is complete."""

import contextlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from pvd_core.borders.errors import UserError
from pvd_core.borders.wording import shown
from training.simulate.sensor.sensors import SpinningLidar

SIMULATION_FILE = "simulation.json"
"""Holds the settings of the simulation and whether it is complete."""

_LEAST_BYTES_A_BEAM = 8  # a point takes 20 bytes, and at least two beams of five return one in a street


def open_folder(out_dir: Path, facts: dict[str, Any]) -> None:
    """Makes the folder, or accepts one in which a simulation with the same facts was interrupted. UserError if it holds
    anything else or cannot be written."""
    facts_path = out_dir / SIMULATION_FILE
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        found = sorted(path.name for path in out_dir.iterdir() if not _is_part_of(path, SIMULATION_FILE))
    except OSError as error:
        raise UserError(f"cannot write the data set to {out_dir}: {error.strerror}; choose another folder") from error
    if not found:
        write_bytes(facts_path, _facts_bytes({**facts, "complete": False}))
        return
    if SIMULATION_FILE not in found:
        raise UserError(f"{out_dir} is not empty (it holds {found[0]!r}); choose a new or empty folder")
    try:
        before = json.loads(facts_path.read_text())
        is_complete = before.pop("complete")
    except (ValueError, KeyError, AttributeError) as error:
        raise UserError(f"{facts_path} is damaged ({error}); delete the folder or choose another") from error
    if is_complete:
        raise UserError(f"{out_dir} already holds a finished simulation; choose another folder")
    different = [key for key in facts if before.get(key) != facts[key]]
    if different:
        key = different[0]
        raise UserError(
            f"{out_dir} holds an interrupted simulation with {key} = {shown(before.get(key))}, this one has "
            f"{shown(facts[key])}; "
            "repeat its settings to continue it, or choose another folder"
        )
    for left_over in out_dir.rglob("*.part"):
        left_over.unlink(missing_ok=True)


def close_folder(out_dir: Path, facts: dict[str, Any]) -> None:
    """Marks the data set as complete."""
    write_bytes(out_dir / SIMULATION_FILE, _facts_bytes({**facts, "complete": True}))


def is_finished(out_dir: str | Path) -> bool:
    """Whether `out_dir` holds a complete simulation."""
    try:
        return json.loads((Path(out_dir) / SIMULATION_FILE).read_text())["complete"] is True
    except (OSError, ValueError, KeyError, TypeError):
        return False


def check_free_space(out_dir: Path, num_scans: int, sensor: SpinningLidar) -> None:
    """UserError if the disk has too little free space for so many scans."""
    needed = num_scans * sensor.num_rings * sensor.num_azimuths * _LEAST_BYTES_A_BEAM
    free = shutil.disk_usage(out_dir).free
    if needed > free:
        raise UserError(
            f"{num_scans} scans need at least {needed / 1e9:.1f} GB and {out_dir} has {free / 1e9:.1f} GB free; "
            "free some, ask for fewer scans, or choose another disk"
        )


def make_folder(path: Path) -> None:
    """Makes a folder and its parents; UserError where that fails."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make {path}: {error.strerror}; what is written stays and can be continued") from error


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file atomically: an interrupt leaves either no file or a whole one. UserError where that fails."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise UserError(f"cannot write {path}: {error.strerror}; what is written stays and can be continued") from error


def _is_part_of(path: Path, name: str) -> bool:
    return path.name.startswith(name) and path.suffix == ".part"


def _facts_bytes(facts: dict[str, Any]) -> bytes:
    return (json.dumps(facts, indent=2) + "\n").encode()
