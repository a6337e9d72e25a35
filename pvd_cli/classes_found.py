"""Which classes were found, in one line."""

import numpy as np

from pvd_core.borders.wording import counted
from pvd_core.taxonomy import CLASS_NAMES


def classes_found(counts: np.ndarray) -> str:
    """The classes among labelled points, the largest first, each with its share of them in percent.

    counts: integers (20,), the number of points with each class id 0..19.
    """
    labelled = counts.copy()
    labelled[0] = 0
    total = int(labelled.sum())
    order = np.argsort(-labelled, kind="stable")
    parts = [f"{CLASS_NAMES[i]} {_percent(labelled[i] / total)}" for i in order if labelled[i]]
    without = f"; {counted(int(counts[0]), 'point')} without a label" if counts[0] else ""
    if not total:
        return f"no class found{without}"
    found = "1 class" if len(parts) == 1 else f"{len(parts)} classes"
    return f"{found} found in {counted(total, 'point')}: {', '.join(parts)}{without}"


def _percent(share: float) -> str:
    return "< 0.1 %" if share < 0.001 else f"{100 * share:.1f} %"
