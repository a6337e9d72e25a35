"""Labelled scans, with the values that several measures need computed once. N points."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from pvd_core.borders.errors import UserError
from training.data.augmentation.rings import rings_of
from training.data.dataset import ScanFolder
from training.realism.ground import ground_cells


@dataclass(frozen=True)
class MeasuredScan:
    """One labelled scan of a folder."""

    sequence: str
    frame: str
    points: np.ndarray
    """float32 (N, 4): x, y, z in metres in the sensor's frame, intensity."""
    class_ids: np.ndarray
    """uint8 (N,), 0 for unlabelled."""

    @property
    def name(self) -> str:
        """SS/NNNNNN: sequence and frame."""
        return f"{self.sequence}/{self.frame}"

    @cached_property
    def ranges(self) -> np.ndarray:
        """Metres from the sensor, float32 (N,)."""
        return np.linalg.norm(self.points[:, :3], axis=1)

    @cached_property
    def azimuths(self) -> np.ndarray:
        """Radians from 0 (forward) up to 2 pi, counter-clockwise, float32 (N,)."""
        return np.arctan2(self.points[:, 1], self.points[:, 0]) % np.float32(2 * np.pi)

    @cached_property
    def rings(self) -> np.ndarray:
        """Ring of each point, int64 (N,), counted from 0 at the lowest. The lowest ring always hits the ground, so only
        rings at the top can be without points."""
        rings = rings_of(self.points)
        return rings.max() - rings

    @cached_property
    def ground_cells(self) -> dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """As `training.realism.ground.ground_cells` gives them."""
        return ground_cells(self.points, self.class_ids)


class ScanSample:
    """At most `max_scans` scans, evenly spread, of all sequences of a folder in SemanticKITTI's layout."""

    def __init__(self, root: str | Path, max_scans: int | None = None, columns: str | int = 4) -> None:
        self._folder = ScanFolder(root, _all_sequences(Path(root)), columns)
        count = len(self._folder)
        chosen = count if max_scans is None else min(count, max_scans)
        self._indices = np.linspace(0, count - 1, chosen).round().astype(int)
        self.root, self.sequences = self._folder.root, self._folder.sequences

    def __len__(self) -> int:
        return len(self._indices)

    def __iter__(self) -> Iterator[MeasuredScan]:
        """Reads the scans one by one; UserError for one without points or with points that are not finite."""
        for index in self._indices:
            yield self._read(index)

    def spread(self, num_scans: int) -> list[MeasuredScan]:
        """Up to `num_scans` scans of the sample, from as many sequences as possible."""
        by_sequence: dict[str, list[int]] = {}
        for index in self._indices:
            by_sequence.setdefault(self._folder.scans[index].sequence, []).append(index)
        groups = list(by_sequence.values())
        if len(groups) < num_scans:
            chosen = self._indices[np.linspace(0, len(self) - 1, min(num_scans, len(self))).round().astype(int)]
        else:
            picked = np.linspace(0, len(groups) - 1, num_scans).round().astype(int)
            chosen = [groups[group][len(groups[group]) // 2] for group in picked]
        return [self._read(index) for index in chosen]

    def named(self, name: str) -> MeasuredScan:
        """The scan SS/NNNNNN of the folder, even if it is not in the sample; UserError if the folder has none."""
        names = [scan.name for scan in self._folder.scans]
        if name not in names:
            raise UserError(f"{self.root} has no scan {name!r}; its scans are {names[0]} to {names[-1]}")
        return self._read(names.index(name))

    def _read(self, index: int) -> MeasuredScan:
        scan = self._folder.scans[index]
        points, class_ids = self._folder.labelled_points(index)
        if not len(points):
            raise UserError(f"{scan.points_path} holds no points; delete it and its label file, or copy it again")
        if not np.isfinite(points).all():
            raise UserError(f"{scan.points_path} holds points that are not finite; expected finite x, y, z, intensity")
        return MeasuredScan(scan.sequence, scan.frame, points, class_ids)


def _all_sequences(root: Path) -> list[str] | str:
    folder = root / "sequences"
    names = sorted(path.name for path in folder.iterdir() if (path / "velodyne").is_dir()) if folder.is_dir() else []
    # Without any, ScanFolder raises an error that says what is wrong with the folder.
    return names or "train"
