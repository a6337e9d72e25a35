"""A folder of scans in SemanticKITTI's layout: `<root>/sequences/SS/{velodyne/*.bin, labels/*.label}`."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pvd_core.borders.errors import UserError
from pvd_core.borders.wording import counted
from pvd_core.clouds.intensity import remark_on_intensity
from pvd_core.clouds.measured import is_measured, measured_points
from training.data.scan_files import read_class_ids, read_points, read_raw_labels
from training.simulate.folder import SIMULATION_FILE

SPLITS = {
    "train": ("00", "01", "02", "03", "04", "05", "06", "07", "09", "10"),
    "valid": ("08",),
    "test": ("11", "12", "13", "14", "15", "16", "17", "18", "19", "20", "21"),
}

"""Beside `sequences` of a simulated data set: what it was made with."""


@dataclass(frozen=True)
class Scan:
    sequence: str
    frame: str
    points_path: Path
    labels_path: Path | None

    @property
    def name(self):
        return f"{self.sequence}/{self.frame}"


class ScanFolder:
    """The scans of some sequences, sorted by sequence and frame.

    `choice`: "train", "valid", "test" (those of the official sequences that exist) or a list of sequence names (all
    must exist). Every scan must have its label file, but for the test split, which has none.
    """

    def __init__(self, root, choice):
        self.root = Path(root)
        self.sequences, self.missing_sequences = _sequences(self.root, choice)
        has_labels = choice != "test"
        self.scans = [scan for sequence in self.sequences for scan in _scans(self.root, sequence, has_labels)]
        self.choice = choice
        self.intensity_max = _intensity_max(self.root)

    def __len__(self):
        return len(self.scans)

    def points(self, index):
        """float32 (N, 4): x, y, z in metres, intensity; of simulated sensors that end at 255 brought to 0..1."""
        points = read_points(self.scans[index].points_path)
        if self.intensity_max > 1:
            points[:, 3] /= np.float32(self.intensity_max)
        return points

    def labelled_points(self, index):
        """(points float32 (N, 4), class ids uint8 (N,))."""
        points = self.points(index)
        return points, read_class_ids(self.scans[index].labels_path, len(points))

    def labelled_instances(self, index):
        """(points float32 (N, 4), class ids uint8 (N,), instance ids uint16 (N,), 0 for none)."""
        points, class_ids = self.labelled_points(index)
        raw = read_raw_labels(self.scans[index].labels_path, len(points))
        return points, class_ids, (raw >> 16).astype(np.uint16)

    def class_ids(self, index):
        """Class ids uint8 (N,) of a scan, without reading its points."""
        scan = self.scans[index]
        return read_class_ids(scan.labels_path, scan.points_path.stat().st_size // 16)

    def evenly_spaced(self, max_scans=None):
        """Scan numbers: all of them, or `max_scans` of them spread over the folder."""
        if max_scans is None or max_scans >= len(self):
            return list(range(len(self)))
        return [i * len(self) // max_scans for i in range(max_scans)]

    def describe(self):
        """One line: what is used and which sequences of the split are not there."""
        text = f"{self.root}: {counted(len(self), 'scan')} of sequences {', '.join(self.sequences)}"
        if self.missing_sequences:
            text += f" (of the split {self.choice!r} not there: {', '.join(self.missing_sequences)})"
        if self.intensity_max > 1:
            text += f"; intensity is divided by {self.intensity_max:g}, as {SIMULATION_FILE} says"
        return text

    def remark(self):
        """A sentence for people where the first scan is not as networks expect it, else ""."""
        remark = remark_on_intensity(self.points(0), "a factor where the .bin files are written")
        return f"{self.scans[0].points_path}: {remark}" if remark else ""

    def fingerprint(self):
        """Text that changes when scans are added, removed or renamed."""
        return hashlib.sha256("\n".join(scan.name for scan in self.scans).encode()).hexdigest()


def usable_points(points, *labels):
    """Points and labels (one array or several) of what the Segmenter would label: the measured points."""
    measured_N = is_measured(points)
    return measured_points(points, measured_N), *(array[measured_N] for array in labels)


def _intensity_max(root):
    """What the sensor of a simulated data set calls its brightest return; 1 for any other data set."""
    try:
        return max(1.0, float(json.loads((root / SIMULATION_FILE).read_text())["intensity_max"]))
    except (OSError, ValueError, KeyError, TypeError):
        return 1.0


def _sequences(root, choice):
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


def _wanted(choice):
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


def _scans(root, sequence, has_labels):
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
    else:
        labels_paths = [None] * len(points_paths)
    return [
        Scan(sequence, points.stem, points, labels) for points, labels in zip(points_paths, labels_paths, strict=True)
    ]
