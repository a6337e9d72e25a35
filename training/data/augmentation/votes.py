"""Fixed views of a scan, in which a network may look at it several times. N points."""

import numpy as np

VOTES = tuple((flip_x, flip_y, turn) for turn in (0, 90) for flip_x, flip_y in ((1, 1), (-1, 1), (1, -1), (-1, -1)))
"""(factor of x, factor of y, rotation about z in degrees): the four flips, then the same rotated by 90 degrees."""


def moved(points: np.ndarray, vote: tuple[int, int, int]) -> np.ndarray:
    """`points`, float32 (N, 4 or 5), flipped and turned by one of VOTES."""
    flip_x, flip_y, turn = vote
    x, y = points[:, 0] * flip_x, points[:, 1] * flip_y
    if turn == 90:
        x, y = -y, x
    return np.column_stack((x, y, points[:, 2:])).astype(np.float32)
