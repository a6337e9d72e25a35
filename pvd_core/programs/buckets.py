"""How much room a cloud gets: one of a few sizes (buckets), so that programs of fixed shapes serve all clouds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

# 4096, 6144, 8192, 12288, ... points: a cloud fills at least two thirds of its bucket, except the smallest one.
_NUM_POINTS = tuple(size for power in range(12, 22) for size in (1 << power, (1 << power) + (1 << power - 1)))
# (most points of the bucket, room for sites at each level, per point of the bucket). Counted on the grid
# 480 x 360 x 32, sites per point at each level:
#   64-beam scans, 123,000 points           at most 0.37, 0.35, 0.16, 0.10, 0.04
#   32-beam scan, 35,000 points             0.46, 0.58, 0.31, 0.24, 0.11
#   16-beam scan, 29,000 points             0.28, 0.27, 0.16, 0.14, 0.08
#   64-beam scan thinned to 25,000 points   0.88, 1.21, 0.66, 0.45, 0.19
#   64-beam scan thinned to 5,000 points    0.98, 2.65, 2.07, 1.82, 0.87
_SITES_A_POINT = (
    (20_000, (1.0, 2.2, 1.8, 1.8, 1.0)),
    (50_000, (0.7, 1.0, 0.55, 0.4, 0.2)),
    (math.inf, (0.5, 0.5, 0.25, 0.17, 0.08)),
)
_ROWS_STEP = 128


@dataclass(frozen=True)
class Bucket:
    """Room for `num_points` points and, at each level of the network, for `num_rows` - 1 sites."""

    num_points: int
    num_rows: tuple[int, ...]


class BucketChooser:
    """Chooses the Bucket of a cloud by its number of points and by how earlier clouds of that size fitted."""

    def __init__(self, grid_shape: Sequence[int], strides: Sequence[Sequence[int]]) -> None:
        """`strides`: three numbers for each downsampling of the network."""
        shapes = [tuple(grid_shape)]
        for stride in strides:
            shapes.append(tuple((size - 1) // step + 1 for size, step in zip(shapes[-1], stride, strict=True)))
        num_cells = [math.prod(shape) for shape in shapes]
        self.buckets = tuple(Bucket(num_points, _num_rows(num_points, num_cells)) for num_points in _NUM_POINTS)
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


def _num_rows(num_points: int, num_cells: Sequence[int]) -> tuple[int, ...]:
    shares = next(shares for most_points, shares in _SITES_A_POINT if num_points <= most_points)
    wanted = (min(math.ceil(share * num_points), cells) for share, cells in zip(shares, num_cells, strict=True))
    return tuple(-(-(sites + 1) // _ROWS_STEP) * _ROWS_STEP for sites in wanted)
