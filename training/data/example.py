"""One labelled scan on its way into a batch, with whatever belongs to its points.

N points, those of past scans among them where a data set fuses several.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Example:
    """Four arrays with a row for each point; never changed in place."""

    points: np.ndarray
    """float32 (N, 4): x, y, z in metres, intensity; or (N, 5): also how many scans back each is."""
    labels: np.ndarray
    """Class ids, uint8 (N,), 0 for unlabelled."""
    instances: np.ndarray
    """int32 (N,): number of the object that a point is of, 0 for none: the upper 16 bits of a label file, or higher for
    objects of other scans that were mixed in."""
    is_current: np.ndarray
    """bool (N,): whether a point is of the current scan; else it is of a past one."""

    @classmethod
    def of_scan(cls, points: np.ndarray, labels: np.ndarray, instances: np.ndarray | None = None) -> "Example":
        """A single scan: all points are current. `instances`: integers (N,); without them all are 0."""
        ids = np.zeros(len(points), np.int32) if instances is None else instances.astype(np.int32)
        return cls(points, labels, ids, np.ones(len(points), bool))

    @classmethod
    def joined(cls, parts: Sequence["Example"]) -> "Example":
        """The points of all parts, in their order."""
        columns = zip(*(part._columns for part in parts), strict=True)
        return cls(*(np.concatenate(arrays) for arrays in columns))

    def __len__(self) -> int:
        """N."""
        return len(self.points)

    def chosen(self, rows: np.ndarray | slice) -> "Example":
        """The points that `rows` selects, as it indexes an array."""
        return Example(*(array[rows] for array in self._columns))

    def with_points(self, points: np.ndarray) -> "Example":
        """The same with other coordinates or intensities."""
        return replace(self, points=points)

    def with_instances_above(self, number: int) -> "Example":
        """The same with the numbers of its objects raised by `number`, so that they are none of another scan's."""
        return replace(self, instances=np.where(self.instances > 0, self.instances + np.int32(number), 0))

    @property
    def highest_instance(self) -> int:
        """The highest number of an object, 0 if there is none."""
        return int(self.instances.max(initial=0))

    @property
    def _columns(self) -> tuple[np.ndarray, ...]:
        return self.points, self.labels, self.instances, self.is_current
