"""A folder of scans in SemanticKITTI's layout: `<root>/sequences/SS/{velodyne/*.bin, labels/*.label}`."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pvd_core.borders.errors import UserError
from pvd_core.borders.wording import counted
from pvd_core.clouds.bin_columns import bin_columns
from pvd_core.clouds.judge import Wording, judge
from pvd_core.clouds.measured import is_measured, measured_points
from pvd_core.taxonomy import SEMANTICKITTI, Taxonomy
from training.data.example import Example
from training.data.scan_files import class_ids_of, read_class_ids, read_points, read_raw_labels
from training.data.scan_list import SPLITS as SPLITS
from training.data.scan_list import Scan, chosen_sequences, evenly_spaced, scans_of
from training.simulate.folder import SIMULATION_FILE

ORIGIN_FILE = "origin.json"
"""In the folder of a data set that was made of others."""


class ScanFolder:
    """The scans of some sequences, sorted by sequence and frame.

    `choice`: a split ("train", "valid" or "test": those of its official sequences that exist), or one or several names
    of sequences, which must all exist. Every scan must have its label file, except in the test split. UserError says
    what is missing.
    """

    def __init__(
        self,
        root: str | Path,
        choice: str | Sequence[str],
        columns: str | int = 4,
        taxonomy: Taxonomy = SEMANTICKITTI,
    ) -> None:
        """`columns`: numbers of each point in the .bin files, see `pvd_core.clouds.bin_columns`. `taxonomy`: the
        classes as which labels are read."""
        self.root, self.columns, self.taxonomy = Path(root), bin_columns(columns), taxonomy
        self.sequences, self.missing_sequences = chosen_sequences(self.root, choice)
        has_labels = choice != "test"
        self.scans = [scan for sequence in self.sequences for scan in _scans(self.root, sequence, has_labels)]
        self.choice = choice
        self.intensity_max = simulated_intensity_max(self.root)

    def __len__(self) -> int:
        return len(self.scans)

    def points(self, index: int) -> np.ndarray:
        """float32 (N, 4): x, y, z in metres, intensity. A simulated sensor's intensity of 0..255 becomes 0..1."""
        points = read_points(self.scans[index].points_path, self.columns)
        if self.intensity_max > 1:
            points[:, 3] /= np.float32(self.intensity_max)
        return points

    def labelled_points(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """(points float32 (N, 4), class ids uint8 (N,))."""
        points = self.points(index)
        return points, read_class_ids(self.scans[index].labels_path, len(points), self.taxonomy)

    def example(self, index: int) -> Example:
        """The measured points of a scan with their labels and instance ids."""
        points, path = self.points(index), self.scans[index].labels_path
        raw = read_raw_labels(path, len(points))
        return Example.of_scan(*usable_points(points, class_ids_of(raw, path, self.taxonomy), raw >> 16))

    def class_ids(self, index: int) -> np.ndarray:
        """Class ids uint8 (N,) of a scan, without reading its points."""
        scan = self.scans[index]
        num_points = scan.points_path.stat().st_size // self.columns.point_bytes
        return read_class_ids(scan.labels_path, num_points, self.taxonomy)

    def evenly_spaced(self, max_scans: int | None = None) -> list[int]:
        """Scan numbers: all of them, or `max_scans` of them spread over the folder."""
        return evenly_spaced(len(self), max_scans)

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

    def label_remark(self) -> str:
        """Whose labels they are, where networks gave them (`pvd pseudo-label`), for the user; "" otherwise."""
        if not (self.root / ORIGIN_FILE).exists():
            return ""
        names = labelled_by(self.root)
        if not names:
            return f"{self.root / ORIGIN_FILE} is damaged: it does not say which networks gave the labels, if any did"
        return (
            f"the labels of {self.root} are what {' and '.join(names)} said of the points they were surest of: scores "
            "tell how far a network agrees with that, not how right it is"
        )

    def fingerprint(self) -> str:
        """Text that changes when scans are added, removed or renamed."""
        return hashlib.sha256("\n".join(scan.name for scan in self.scans).encode()).hexdigest()


def usable_points(points: np.ndarray, *labels: np.ndarray) -> tuple[np.ndarray, ...]:
    """The measured points of a scan, which are those that the Segmenter would label, and their rows of each array of
    `labels`. `points` float32 (N, 4); arrays (N,)."""
    measured_N = is_measured(points)
    return measured_points(points, measured_N), *(array[measured_N] for array in labels)


def origin_of(root: Path) -> list[dict[str, Any]]:
    """What the scans of a data set were before, as its ORIGIN_FILE says: "dataset" and "sequences" of each."""
    return [each for each in _origin_list(root, "made_of") if isinstance(each, dict)]


def labelled_by(root: Path) -> list[str]:
    """Names of the weights files that gave a data set its labels, as its ORIGIN_FILE says; none where it does not."""
    return [str(each["file"]) for each in _origin_list(root, "weights") if isinstance(each, dict) and "file" in each]


def _origin_list(root: Path, key: str) -> list[Any]:
    """What the ORIGIN_FILE of a data set lists under `key`; nothing where there is no such file, or no list in it."""
    try:
        found = json.loads((root / ORIGIN_FILE).read_text(encoding="utf-8"))[key]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return found if isinstance(found, list) else []


def simulated_intensity_max(root: Path) -> float:
    """The largest intensity that the sensor of a simulated data set reports; 1 for any other data set."""
    try:
        return max(1.0, float(json.loads((root / SIMULATION_FILE).read_text())["intensity_max"]))
    except (OSError, ValueError, KeyError, TypeError):
        return 1.0


def _scans(root: Path, sequence: str, has_labels: bool) -> list[Scan]:
    scans = scans_of(root, sequence)
    if not scans:
        folder = root / "sequences" / sequence / "velodyne"
        raise UserError(f"{folder} holds no .bin scans; copy them there or leave sequence {sequence} out")
    missing = [scan.labels_path for scan in scans if not scan.labels_path.is_file()] if has_labels else []
    if missing:
        raise UserError(
            f"{len(missing)} of {len(scans)} scans of sequence {sequence} have no labels; "
            f"the first missing file is {missing[0]}"
        )
    return scans
