"""The scans of a folder, each with the past ones of its sequence behind it, for networks that see several at once.

N points of a scan, M of it and its past scans together.
"""

from dataclasses import replace

import numpy as np

from pvd_core.clouds.history import PastScans
from pvd_core.clouds.past_frames import PastFrames
from training.data.dataset import ScanFolder
from training.data.example import Example


class FusedScans:
    """Reads the scans of a ScanFolder. Without past scans each is as the folder gives it; with them each sequence needs
    its poses.txt and calib.txt, see `PastFrames`, as for errors."""

    def __init__(self, folder: ScanFolder, past: PastScans) -> None:
        self.folder = folder
        self._sequences: dict[str, PastFrames] = {}
        self._first: dict[str, int] = {}  # number of the first scan of each sequence
        for sequence in folder.sequences if past.past else ():
            indices = [index for index, scan in enumerate(folder.scans) if scan.sequence == sequence]
            frames = [folder.scans[index].frame for index in indices]
            self._sequences[sequence] = PastFrames(folder.root / "sequences" / sequence, frames, past)
            self._first[sequence] = indices[0]

    @property
    def remarks(self) -> list[str]:
        """What is to be said to the user of the poses."""
        return [remark for sequence in self._sequences.values() for remark in sequence.remarks]

    def points(self, index: int) -> np.ndarray:
        """float32 (M, 4): the N points of a scan, unchanged and in order, then the measured ones of its past scans;
        with time (M, 5), see `PastScans.aged`."""
        points, name = self.folder.points(index), self.folder.scans[index].sequence
        if name not in self._sequences:
            return points
        first = self._first[name]
        return self._sequences[name].fused(index - first, points, lambda place: self.folder.points(first + place))

    def labelled_points(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """(points float32 as of `points`, class ids uint8 (N,) of the first N of them)."""
        if not self._sequences:
            return self.folder.labelled_points(index)
        return self.points(index), self.folder.class_ids(index)

    def example(self, index: int) -> Example:
        """The measured points of a scan, then those of its past scans, which are labelled too."""
        current, name = self.folder.example(index), self.folder.scans[index].sequence
        if name not in self._sequences:
            return current
        sequence, first = self._sequences[name], self._first[name]
        own = index - first
        parts = [current.with_points(sequence.moved(current.points, own, own))]
        for place in sequence.before(own):
            past = self.folder.example(first + place)
            points = sequence.moved(past.points, place, own)
            parts.append(replace(past, points=points, is_current=np.zeros(len(past), bool)))
        return Example.joined(parts)
