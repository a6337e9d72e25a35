"""For how many sites a program of fixed shapes needs room: sites per point of the largest cloud that it takes.

There is room for a third more than was counted. A cloud that needs still more is noticed and gets a larger program.
"""

import math
from collections.abc import Sequence

# (most points, room at each level). Counted on the cylindrical grid 480 x 360 x 32, sites per point at each level:
#   64-beam scans, 123,000 points           at most 0.37, 0.35, 0.16, 0.10, 0.04
#   32-beam scan, 35,000 points             0.46, 0.58, 0.31, 0.24, 0.11
#   16-beam scan, 29,000 points             0.28, 0.27, 0.16, 0.14, 0.08
#   64-beam scan thinned to 25,000 points   0.88, 1.21, 0.66, 0.45, 0.19
#   64-beam scan thinned to 5,000 points    0.98, 2.65, 2.07, 1.82, 0.87
_CYLINDRICAL = (
    (20_000, (1.0, 2.2, 1.8, 1.8, 1.0)),
    (50_000, (0.7, 1.0, 0.55, 0.4, 0.2)),
    (math.inf, (0.5, 0.5, 0.25, 0.17, 0.08)),
)

# (most points, room for cubes of 5, 10, 20 cm and so on, each twice as large). How many cubes a scan fills depends on
# their size and hardly on which grid's level they are of. Counted, cubes per point:
#                                           5 cm  10    20    40    80    1.6 m  3.2    6.4    12.8
#   64-beam scans, 106,000-127,000 points   0.94, 0.77, 0.49, 0.25, 0.11, 0.048, 0.019, 0.007, 0.003
#   simulated 64-beam scans, 128,000        0.74, 0.50, 0.28, 0.15, 0.06, 0.023, 0.009, 0.003, 0.001
#   32-beam scans, 35,000 points            0.70, 0.54, 0.38, 0.23, 0.12, 0.057, 0.025, 0.009, 0.003
#   16-beam scans, 31,000 points            0.38, 0.28, 0.20, 0.14, 0.10, 0.058, 0.030, 0.013, 0.005
#   64-beam scan thinned to 60,000 points   0.87, 0.69, 0.47, 0.27, 0.13, 0.055, 0.021, 0.007, 0.003
#   64-beam scan thinned to 25,000 points   0.94, 0.83, 0.63, 0.41, 0.22, 0.102, 0.041, 0.016, 0.006
#   64-beam scan thinned to 5,000 points    0.99, 0.96, 0.87, 0.69, 0.46, 0.264, 0.138, 0.065, 0.016
_SMALLEST_CUBE_M = 0.05
_CUBES = (
    (20_000, (1.0, 1.0, 1.0, 0.9, 0.6, 0.35, 0.18, 0.09, 0.03)),
    (50_000, (1.0, 1.0, 0.75, 0.5, 0.28, 0.13, 0.055, 0.022, 0.01)),
    (math.inf, (1.0, 1.0, 0.65, 0.35, 0.17, 0.075, 0.03, 0.012, 0.005)),
)


def cylindrical_room(num_points: int, num_levels: int) -> tuple[float, ...]:
    """Sites per point at each level of a network on a cylindrical grid, of clouds of at most `num_points` points."""
    shares = _row_for(num_points, _CYLINDRICAL)
    return tuple(shares[min(level, len(shares) - 1)] for level in range(num_levels))


def cubic_room(num_points: int, sizes_m: Sequence[float]) -> tuple[float, ...]:
    """Cubes of each of these sizes per point, of clouds of at most `num_points` points; as of the next smaller size in
    the table. No cloud fills more than one a point."""
    shares = _row_for(num_points, _CUBES)
    return tuple(shares[_place_of(size_m, len(shares))] for size_m in sizes_m)


def _row_for(num_points: int, table: Sequence[tuple[float, tuple[float, ...]]]) -> tuple[float, ...]:
    return next(shares for most_points, shares in table if num_points <= most_points)


def _place_of(size_m: float, num_places: int) -> int:
    # A tolerance, because logarithms are rounded.
    place = math.floor(math.log2(size_m / _SMALLEST_CUBE_M) + 1e-9)
    return min(max(place, 0), num_places - 1)
