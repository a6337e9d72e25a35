"""Cuts every object of hard classes out of every scan of a data set. N points of a scan.

Scans are read one at a time; a scan whose file is whole is not read again.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pvd_core.borders.errors import UserError
from pvd_core.borders.wording import counted
from training.data.dataset import ScanFolder
from training.data.instances.store import Cut, InstanceFolder
from training.data.instances.width import widest_of_classes, width_of

# A data set whose labels have no instance ids is found out after so many scans that show hard classes.
_NUM_SCANS_JUDGED = 100


@dataclass
class SequenceCounts:
    """What was cut out of one sequence."""

    num_scans: int = 0
    num_cut: int = 0
    """Objects, counted in every scan anew."""
    num_points: int = 0
    num_without_id: int = 0
    """Points of hard classes with instance id 0, which belong to no object and are left out."""
    num_shared: int = 0
    """Points whose id several things share, which are left out too."""
    scans_of_objects: dict[tuple[int, int], int] = field(default_factory=dict)
    """{(class id, instance id): scans that show it}"""

    @property
    def num_once(self) -> int:
        """Objects that only one scan shows, onto which nothing can be fused."""
        return sum(count == 1 for count in self.scans_of_objects.values())

    def add(self, cut: Cut) -> None:
        """Counts one scan."""
        objects = cut.objects()
        self.num_scans += 1
        self.num_cut += len(objects)
        self.num_points += len(cut.points)
        self.num_without_id += cut.num_without_id
        self.num_shared += cut.num_shared
        for key in objects:
            self.scans_of_objects[key] = self.scans_of_objects.get(key, 0) + 1


def cut_instances(
    folder: ScanFolder,
    out: str | Path,
    class_ids: Iterable[int],
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> dict[str, SequenceCounts]:
    """Writes the objects of the classes `class_ids` of all scans of `folder` into the folder `out`; returns counts by
    sequence. `progress(done, total)` is called after each scan.

    An interrupted run goes on when called again. UserError where `out` holds something else, and for labels without
    instance ids.
    """
    ids = tuple(sorted(class_ids))
    about = {"dataset": folder.root.resolve().name, "taxonomy": folder.taxonomy.name, "class_ids": list(ids)}
    store, widest_C = InstanceFolder(out, about), widest_of_classes(folder.taxonomy)
    counts = {sequence: SequenceCounts() for sequence in folder.sequences}
    num_without_objects = 0
    for index, scan in enumerate(folder.scans):
        cut = store.read_if_whole(scan.name)
        if cut is None:
            example = folder.example(index)
            cut = cut_scan(example.points, example.labels, example.instances, ids, widest_C)
            store.write(scan.name, cut)
        counts[scan.sequence].add(cut)
        num_without_objects += cut.num_without_id > 0 and not (len(cut.points) or cut.num_shared)
        if num_without_objects == _NUM_SCANS_JUDGED:
            _check_ids(folder, counts)
        progress(index + 1, len(folder))
    _check_ids(folder, counts)
    return counts


def cut_scan(
    points: np.ndarray,
    class_ids: np.ndarray,
    instances: np.ndarray,
    hard_ids: tuple[int, ...],
    widest_C: np.ndarray,
) -> Cut:
    """The objects of the classes `hard_ids` in one scan, in the order of its points. `points` float32 (N, 4),
    `class_ids` and `instances` integers (N,); instance 0 is no object. `widest_C`: see `widest_of_classes`; an id whose
    points lie farther apart is left out."""
    is_hard_N = np.isin(class_ids, hard_ids)
    rows = np.flatnonzero(is_hard_N & (instances > 0))
    cut = Cut(points[rows], class_ids[rows], instances[rows])
    is_one_M = np.ones(len(rows), bool)
    for class_id, instance in cut.objects():
        is_own_M = (cut.class_ids == class_id) & (cut.instances == instance)
        is_one_M &= ~is_own_M | (width_of(cut.points[is_own_M]) <= widest_C[class_id])
    num_without_id = int(is_hard_N.sum()) - len(rows)
    num_shared = int(len(rows) - is_one_M.sum())
    return Cut(cut.points[is_one_M], cut.class_ids[is_one_M], cut.instances[is_one_M], num_without_id, num_shared)


def _check_ids(folder: ScanFolder, counts: dict[str, SequenceCounts]) -> None:
    num_scans = sum(each.num_scans for each in counts.values())
    num_without_id = sum(each.num_without_id for each in counts.values())
    if num_without_id and not any(each.num_cut or each.num_shared for each in counts.values()):
        raise UserError(
            f"the labels of {folder.root} have no instance ids: all {counted(num_without_id, 'point')} of hard classes "
            f"in {counted(num_scans, 'scan')} have 0 in their upper 16 bits. Objects are told apart by these ids: take "
            "SemanticKITTI's own labels, not predictions or labels that were written without them"
        )
