"""What stands where the intensity is expected and is none: files and messages may hold other columns."""

import numpy as np

from pvd_core.clouds.measured import is_measured

_SAMPLE, _BINS = 4000, 200
# Real intensities rise and fall with any of these quantities about as often, which explain at most 0.88 of them.
_LEAST_EXPLAINED, _MOST_JUMPS = 0.95, 0.1


def other_quantity(points: np.ndarray) -> str:
    """What the fourth column of `points`, float32 (N, 4) as the cloud has them, is if that is certainly no intensity:
    "the ring", "the range", "the time or azimuth", "the time or number"; else ""."""
    if len(points) < _SAMPLE:
        return ""
    number = np.linspace(0, len(points) - 1, _SAMPLE).astype(np.int64)
    drawn = points[number]
    is_usable = is_measured(drawn) & np.isfinite(drawn[:, 3])
    number, (x, y, z, value) = number[is_usable], drawn[is_usable].astype(np.float64).T
    ranks = np.unique(value, return_inverse=True)[1].astype(np.float64)
    if len(ranks) < _SAMPLE / 4 or ranks.max() < _BINS / 20:
        return ""
    quantities = {
        "the ring": np.arctan2(z, np.hypot(x, y)),
        "the range": np.sqrt(x * x + y * y + z * z),
        "the time or azimuth": np.arctan2(y, x),
        "the time or number": number,
    }
    explained = {name: _explained(quantity, ranks) for name, quantity in quantities.items()}
    name = max(explained, key=explained.__getitem__)
    return name if explained[name] > _LEAST_EXPLAINED else ""


def _explained(quantity: np.ndarray, ranks: np.ndarray) -> float:
    """The share of the variance of `ranks` that `quantity` explains; 0 where they do not rise or fall with it all
    along, but for some jumps, as of the time within a turn."""
    size = len(ranks) // _BINS
    binned = ranks[np.argsort(quantity, kind="stable")][: _BINS * size].reshape(_BINS, size)
    steps = np.diff(binned.mean(axis=1))
    if min(np.count_nonzero(steps > 0), np.count_nonzero(steps < 0)) > _MOST_JUMPS * len(steps):
        return 0.0
    return 1 - float(binned.var(axis=1).mean() / ranks.var())
