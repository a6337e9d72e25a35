"""Which classes a network found, for people: what commands that label print at their end."""

from collections.abc import Sequence

import numpy as np

from pvd_core.taxonomy import Taxonomy


def classes_found_text(points_of_class: Sequence[int] | np.ndarray, taxonomy: Taxonomy) -> str:
    """One line with the classes that were found and their share of all points, the largest first; "" without points.

    points_of_class: points by class id of `taxonomy`; 0 is for points that are no measurement, so of no class.
    """
    counts = np.asarray(points_of_class)
    if not counts.sum():
        return ""
    found = [number for number in np.argsort(-counts, kind="stable") if counts[number] and number]
    shares = [f"{taxonomy.names[number]} {_percent(counts[number] / counts.sum())}" for number in found]
    without = [f"without a class {_percent(counts[0] / counts.sum())}"] if counts[0] else []
    return f"classes found: {', '.join(shares + without)}"


def _percent(share: float) -> str:
    return "under 0.1 %" if share < 0.001 else f"{100 * share:.1f} %"
