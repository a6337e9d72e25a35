"""The plane that the ground around a sensor forms, found in the points alone. N points, H planes to choose from."""

from dataclasses import dataclass

import numpy as np

# Nearer points are the vehicle's own; farther ones lie on slopes and on other levels.
_NEAREST_M, _FARTHEST_M = 2.0, 20.0
_NUM_POINTS, _NUM_PLANES = 1000, 150
_LEAST_POINTS = 50
_CELL_M, _CELLS_A_SIDE = 1.0, 41
# Kerbs, verges and noise stay within this distance of the plane.
_THICKNESS_M = 0.15
# Nobody sees through the ground: points that lie deeper speak against a plane, each as much as two on it for it.
_DEPTH_M, _WEIGHT_OF_DEEP = 0.5, 2.0
# A plane that is tilted less than this is looked for first: walls are planes too.
_LEVEL_DEG = 35.0
_LEAST_LEVEL_SHARE, _LEAST_SHARE = 0.4, 0.35


@dataclass(frozen=True)
class Ground:
    """up: unit vector (3,) that points away from the ground. height: metres of the origin above it, negative in a frame
    whose origin is below. share: of the points nearby, how many lie on it, less those below it; 1 for nothing but
    ground."""

    up: np.ndarray
    height: float
    share: float


def find_ground(points: np.ndarray) -> Ground | None:
    """The ground around the origin in `points`, float (N, 3) in metres, all measured; None where they show none. A
    plane that is roughly level is looked for first, among the lowest points of each place; only where there is none,
    the plane that most points lie on is taken."""
    near = _near(points)
    level = _best_plane(_lowest_of_cells(near), _LEAST_LEVEL_SHARE, max_tilt_deg=_LEVEL_DEG)
    return level or _best_plane(near, _LEAST_SHARE)


def _near(points: np.ndarray) -> np.ndarray:
    squares = (points * points).sum(axis=1)
    return points[(squares > _NEAREST_M**2) & (squares < _FARTHEST_M**2)].astype(np.float32)


def _lowest_of_cells(near: np.ndarray) -> np.ndarray:
    """Of the points in each square of x and y, the one with the least z."""
    from_top = near[np.argsort(-near[:, 2])]
    cells = np.floor((from_top[:, :2] + _FARTHEST_M) / _CELL_M).astype(np.int64)
    lowest = np.full(_CELLS_A_SIDE**2, -1)
    lowest[cells[:, 0] * _CELLS_A_SIDE + cells[:, 1]] = np.arange(len(from_top))  # of several, the last stays
    return from_top[lowest[lowest >= 0]]


def _best_plane(candidates: np.ndarray, least_share: float, max_tilt_deg: float = 180.0) -> Ground | None:
    candidates = candidates[:: max(1, len(candidates) // _NUM_POINTS)]
    if len(candidates) < _LEAST_POINTS:
        return None
    up_H3, height_H = _planes_through(candidates)
    share_H, up_H3, height_H = _judged(candidates, up_H3, height_H)
    share_H = np.where(up_H3[:, 2] >= np.cos(np.radians(max_tilt_deg)), share_H, -np.inf)
    best = int(np.argmax(share_H))
    return _refined(candidates, up_H3[best], height_H[best]) if share_H[best] >= least_share else None


def _planes_through(near: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(unit normals (H, 3), heights of the origin above them (H,)) of planes through three random points each."""
    corners = near[np.random.default_rng(0).integers(len(near), size=(3, _NUM_PLANES))]
    normals = np.cross(corners[1] - corners[0], corners[2] - corners[0])
    # Points that lie close together or on a line give no plane; its normal of 0 gets the direction z.
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    normals = np.where(lengths > 1, normals / np.maximum(lengths, 1), np.array([0, 0, 1], np.float32))
    return normals, -(normals * corners[0]).sum(axis=1)


def _judged(near: np.ndarray, up_H3: np.ndarray, height_H: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(shares as in Ground, the same planes with their upward side turned to where more points are)."""
    above_HN = up_H3 @ near.T + height_H[:, None]
    on_H, deep_H, high_H = (
        np.count_nonzero(is_there_HN, axis=1) / np.float32(len(near))
        for is_there_HN in (np.abs(above_HN) < _THICKNESS_M, above_HN < -_DEPTH_M, above_HN > _DEPTH_M)
    )
    # A sensor is above the ground; near it, as in a frame whose z is 0 there, the points tell.
    is_below_H = np.where(np.abs(height_H) > _DEPTH_M, height_H < 0, deep_H > high_H)
    # But for a street in a wrong frame: all of it is above the origin, with houses and trees above it.
    z_H, level = up_H3[:, 2], np.cos(np.radians(_LEVEL_DEG))
    is_below_H &= ~((z_H > level) & (high_H > deep_H))
    is_below_H |= (z_H < -level) & (deep_H > high_H)
    sign_H = np.where(is_below_H, np.float32(-1), np.float32(1))
    deep_H = np.where(is_below_H, high_H, deep_H)
    return on_H - _WEIGHT_OF_DEEP * deep_H, up_H3 * sign_H[:, None], height_H * sign_H


def _refined(near: np.ndarray, up: np.ndarray, height: float) -> Ground:
    """The plane fitted to the points that lie on it."""
    for _ in range(3):
        on = near[np.abs(near @ up + height) < _THICKNESS_M]
        middle = on.mean(axis=0)
        _, _, axes = np.linalg.svd((on - middle).T @ (on - middle))
        up = axes[2] if axes[2] @ up > 0 else -axes[2]
        height = float(-up @ middle)
    share, _, _ = _judged(near, up[None], np.array([height], np.float32))
    return Ground(up.astype(np.float64), height, float(share[0]))
