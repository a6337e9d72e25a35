"""How much room a cloud gets: one of a few sizes (buckets), so that programs of fixed shapes serve all clouds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pvd_core.voxels.voxeliser import Triple, Voxeliser

# 4096, 6144, 8192, 12288, ... points: a cloud fills at least two thirds of its bucket, except the smallest one.
_NUM_POINTS = tuple(size for power in range(12, 22) for size in (1 << power, (1 << power) + (1 << power - 1)))
_ROWS_STEP = 128


@dataclass(frozen=True)
class Bucket:
    """Room for `num_points` points and, at each level of the network, for `num_rows` - 1 sites."""

    num_points: int
    num_rows: tuple[int, ...]


class BucketChooser:
    """Chooses the Bucket of a cloud by its number of points and by how earlier clouds of that size fitted."""

    def __init__(self, grid: Voxeliser, strides: Sequence[Triple]) -> None:
        """`strides`: those of the network."""
        shapes: list[tuple[int, ...]] = [grid.fixed_shape]
        for stride in strides:
            shapes.append(tuple((size - 1) // step + 1 for size, step in zip(shapes[-1], stride, strict=True)))
        num_cells = [math.prod(shape) for shape in shapes]
        self.buckets = tuple(
            Bucket(num_points, _num_rows(num_points, grid.sites_a_point(num_points, strides), num_cells))
            for num_points in _NUM_POINTS
        )
        self._end = len(self.buckets)
        # Index of the smallest bucket for the points -> index of the bucket to begin with.
        self._start: dict[int, int] = {}

    def choose(self, num_points: int) -> Bucket | None:
        """The smallest bucket with room for `num_points` points and for as many sites as such clouds have needed so
        far; None if there is none."""
        place = self._start.get(self._place_of(num_points), self._place_of(num_points))
        return self.buckets[place] if place < self._end else None

    def overflowed(self, num_points: int, bucket: Bucket) -> None:
        """Call this when a cloud of `num_points` points had more sites than `bucket` has room for: from now on clouds
        of its size get the next larger bucket."""
        self._start[self._place_of(num_points)] = self.buckets.index(bucket) + 1

    def does_not_fit_the_device(self, bucket: Bucket) -> None:
        """Call this when the device has no memory for `bucket`: it and larger ones are not chosen again. Clouds that
        got it because of their sites go back to the smallest bucket for their points; larger clouds get None."""
        self._end = min(self._end, self.buckets.index(bucket))
        self._start = {place: start for place, start in self._start.items() if start < self._end}

    def _place_of(self, num_points: int) -> int:
        """Index of the smallest bucket with room for the points; the number of buckets if there is none."""
        return next((place for place, b in enumerate(self.buckets) if b.num_points >= num_points), len(self.buckets))


def _num_rows(num_points: int, shares: Sequence[float], num_cells: Sequence[int]) -> tuple[int, ...]:
    wanted = (min(math.ceil(share * num_points), cells) for share, cells in zip(shares, num_cells, strict=True))
    return tuple(-(-(sites + 1) // _ROWS_STEP) * _ROWS_STEP for sites in wanted)
