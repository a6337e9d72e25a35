"""The objects of a data set's earlier scans, put onto its scans."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from pvd_core.borders.errors import UserError
from pvd_core.clouds.history import moved
from pvd_core.clouds.poses import frame_poses
from training.data.dataset import ScanFolder
from training.data.example import Example
from training.data.instances.cut import cut_scan
from training.data.instances.fusion import fused
from training.data.instances.store import Cut, check_instances, read_cut
from training.data.instances.width import widest_of_classes

PLACINGS = ("centroid", "poses")
_COMPARED = ("points", "class_ids", "instances")


class PastObjects:
    """Enriches the scans of `folder` with what the `num_past` scans before them, in the same sequence, show of their
    objects of the classes `hard_ids`. `root`: the folder of cut objects. `placed_by`: "centroid" moves what they show
    onto the object, "poses" to where it was, by poses.txt and calib.txt of each sequence. UserError where they do not
    fit."""

    def __init__(
        self,
        root: str | Path,
        folder: ScanFolder,
        hard_ids: tuple[int, ...],
        num_past: int,
        placed_by: str = "centroid",
    ) -> None:
        self.root, self._folder, self._hard_ids, self._num_past = Path(root), folder, hard_ids, num_past
        self._widest_C = widest_of_classes(folder.taxonomy)
        check_instances(root, folder.taxonomy.name, hard_ids)
        self._poses = _poses_of(folder) if placed_by == "poses" else None
        for index in {0, len(folder) // 2, len(folder) - 1}:
            self._check_same_labels(index)

    def onto(self, example: Example, index: int) -> Example:
        """`example`, the scan with this number, and behind it the points of its objects from earlier scans, which are
        not current."""
        own = example.points, example.labels, example.instances
        appended = fused(*own, self._past(index), self._widest_C, moves_centroids=self._poses is None)
        if not len(appended.points):
            return example
        is_current = np.zeros(len(appended.points), bool)
        instances = appended.instances.astype(example.instances.dtype)
        past = Example(appended.points, appended.class_ids.astype(example.labels.dtype), instances, is_current)
        return Example.joined([example, past])

    def _past(self, index: int) -> list[Cut]:
        """Newest first; those that there are in the sequence."""
        scans = self._folder.scans
        sequence = scans[index].sequence
        numbers = range(index - 1, max(index - self._num_past, 0) - 1, -1)
        return [self._cut(number, index) for number in numbers if scans[number].sequence == sequence]

    def _cut(self, number: int, index: int) -> Cut:
        """The objects of scan `number`; with poses in the frame of the sensor at scan `index`."""
        cut = read_cut(self.root, self._folder.scans[number].name).of_classes(self._hard_ids)
        if self._poses is None:
            return cut
        return replace(cut, points=moved(cut.points, self._poses[number], self._poses[index]))

    def _check_same_labels(self, index: int) -> None:
        name, example = self._folder.scans[index].name, self._folder.example(index)
        found = read_cut(self.root, name).of_classes(self._hard_ids)
        expected = cut_scan(example.points, example.labels, example.instances, self._hard_ids, self._widest_C)
        if not all(np.array_equal(getattr(found, key), getattr(expected, key)) for key in _COMPARED):
            raise UserError(
                f"the objects of scan {name} in {self.root} are not those of {self._folder.root}: they were cut from "
                "another data set, or its labels have changed; cut them again into another folder with "
                "`pvd dataset instances`"
            )


def _poses_of(folder: ScanFolder) -> np.ndarray:
    """float64 (scans, 4, 4): the sensor's poses at all scans, each in the frame of its sequence."""
    parts = []
    for sequence in folder.sequences:
        frames = [scan.frame for scan in folder.scans if scan.sequence == sequence]
        parts.append(frame_poses(folder.root / "sequences" / sequence, frames).poses)
    return np.concatenate(parts)
