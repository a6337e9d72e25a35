"""How much room a cloud is given: a few sizes, so that programs of fixed shapes serve clouds of every size."""

import math
from dataclasses import dataclass

# Two an octave: a cloud fills at least two thirds of its bucket, but for the smallest.
_NUM_POINTS = tuple(size for power in range(12, 22) for size in (1 << power, (1 << power) + (1 << power - 1)))
# (most points, sites a level for each point of the bucket). Counted on the grid 480 x 360 x 32, sites a point: 64-beam
# scans (123,000 points) have at most 0.37, 0.35, 0.16, 0.10, 0.04, a 32-beam scan (35,000) 0.46, 0.58, 0.31, 0.24,
# 0.11, a 16-beam scan (29,000) 0.28, 0.27, 0.16, 0.14, 0.08; a 64-beam scan thinned to 25,000 points 0.88, 1.21, 0.66,
# 0.45, 0.19, to 5,000 points 0.98, 2.65, 2.07, 1.82, 0.87.
_SITES_A_POINT = (
    (20_000, (1.0, 2.2, 1.8, 1.8, 1.0)),
    (50_000, (0.7, 1.0, 0.55, 0.4, 0.2)),
    (math.inf, (0.5, 0.5, 0.25, 0.17, 0.08)),
)
_ROWS_STEP = 128


@dataclass(frozen=True)
class Bucket:
    """Room for `num_points` points and, at each level of the network, for one site less than `num_rows`."""

    num_points: int
    num_rows: tuple[int, ...]


class BucketChooser:
    """The Bucket of a cloud, from its number of points and from what became of earlier clouds."""

    def __init__(self, grid_shape, strides):
        """`strides`: those of the network's downsamplings, three numbers each."""
        shapes = [tuple(grid_shape)]
        for stride in strides:
            shapes.append(tuple((size - 1) // step + 1 for size, step in zip(shapes[-1], stride, strict=True)))
        num_cells = [math.prod(shape) for shape in shapes]
        self.buckets = tuple(Bucket(num_points, _num_rows(num_points, num_cells)) for num_points in _NUM_POINTS)
        self._end = len(self.buckets)
        self._start = {}

    def choose(self, num_points):
        """The smallest bucket with room for so many points and for the sites that such clouds have needed; None where
        there is none."""
        place = self._start.get(self._place_of(num_points), self._place_of(num_points))
        return self.buckets[place] if place < self._end else None

    def overflowed(self, num_points, bucket):
        """A cloud of so many points had more sites than `bucket` has room for: such clouds start one larger."""
        self._start[self._place_of(num_points)] = self.buckets.index(bucket) + 1

    def does_not_fit_the_device(self, bucket):
        """There is no memory for `bucket`: clouds that had grown into it go back to the smallest with room for their
        points, and larger clouds get none."""
        self._end = min(self._end, self.buckets.index(bucket))
        self._start = {place: start for place, start in self._start.items() if start < self._end}

    def _place_of(self, num_points):
        return next((place for place, b in enumerate(self.buckets) if b.num_points >= num_points), len(self.buckets))


def _num_rows(num_points, num_cells):
    shares = next(shares for most_points, shares in _SITES_A_POINT if num_points <= most_points)
    wanted = (min(math.ceil(share * num_points), cells) for share, cells in zip(shares, num_cells, strict=True))
    return tuple(-(-(sites + 1) // _ROWS_STEP) * _ROWS_STEP for sites in wanted)
