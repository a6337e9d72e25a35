"""How far statistics are moved: as far as most labels stay. What changes nearly all of them is seldom better, and
without the truth nobody would notice."""

from collections.abc import Sequence

import numpy as np
import torch

from training.adapt.comparison import LEAST_AGREEMENT, Comparison
from training.adapt.norms import AdaptedNorms, MeasuredNorms

STRENGTHS = (1.0, 0.5, 0.25, 0.125, 0.0625)
LEAST_AGREEMENT_WITHOUT_BRANCH = 0.97
"""Of a network without a point branch, as MinkUNet: there the norms of the U-Net itself are moved."""


def carefully_moved(measured: MeasuredNorms, scans: Sequence[np.ndarray], device: torch.device) -> AdaptedNorms:
    """Moved by the largest of STRENGTHS with which enough of the points of `scans` keep their label, LEAST_AGREEMENT or
    what a network without a point branch needs; by the least of them if there is none. `scans`: float32 (N, 4) each, in
    the network's frame."""
    least = LEAST_AGREEMENT if measured.before.point_branch else LEAST_AGREEMENT_WITHOUT_BRANCH
    for strength in STRENGTHS:
        adapted = measured.moved(strength)
        comparison = Comparison(adapted.before, adapted.after, {}, device)
        for points in scans:
            comparison.add(points)
        if comparison.report()["agreement"] >= least:
            break
    return adapted
