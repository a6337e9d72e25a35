"""Clouds without intensity, called bare clouds."""

import numpy as np


def is_bare(points: np.ndarray) -> bool:
    """Whether all intensities of `points`, float32 (N, 4) of measured points, are the same: 0 as where a message has no
    such field, or the one value that some drivers fill in. Of a single point only 0 tells that."""
    intensity_N = points[:, 3]
    if len(points) < 2:
        return bool(len(points)) and not np.nan_to_num(intensity_N[0])
    return bool(intensity_N.min() == intensity_N.max())
