"""The objects of a data set's earlier scans, put onto its scans."""

from pathlib import Path

import numpy as np

from training.data.dataset import ScanFolder
from training.data.example import Example
from training.data.instances.fusion import fused
from training.data.instances.store import Cut, check_instances, read_cut
from training.data.instances.width import widest_of_classes


class PastObjects:
    """Enriches the scans of `folder` with what the `num_past` scans before them, in the same sequence, show of their
    objects of the classes `hard_ids`. `root`: the folder of cut objects. UserError where it does not fit."""

    def __init__(self, root: str | Path, folder: ScanFolder, hard_ids: tuple[int, ...], num_past: int) -> None:
        self.root, self._folder, self._hard_ids, self._num_past = Path(root), folder, hard_ids, num_past
        self._widest_C = widest_of_classes(folder.taxonomy)
        check_instances(root, folder.taxonomy.name, hard_ids)
        if folder.scans:
            read_cut(self.root, folder.scans[0].name)
            read_cut(self.root, folder.scans[-1].name)

    def onto(self, example: Example, index: int) -> Example:
        """`example`, the scan with this number, and behind it the points of its objects from earlier scans, which are
        not current."""
        appended = fused(example.points, example.labels, example.instances, self._past(index), self._widest_C)
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
        return [
            read_cut(self.root, scans[number].name).of_classes(self._hard_ids)
            for number in numbers
            if scans[number].sequence == sequence
        ]
