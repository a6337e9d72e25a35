"""Test-time augmentation: each scan is labelled several times, flipped and rotated, by one network or a committee of
several, and the votes are added up.

Unlike the official script, each vote changes the original scan, not that of the vote before, and nothing is random.
"""

import functools

import numpy as np

from pvd_core.committee import AnySegmenter, Committee
from pvd_core.segmenter import Segmentation
from training.data.augmentation.votes import VOTES, moved


def segment_by_votes(segmenter: AnySegmenter, points: np.ndarray, num_votes: int) -> Segmentation:
    """Of `points`, float32 (N, 4 or 5) as Segmenter.segment takes them: a label is the arg-max of the log-probabilities
    summed over the first `num_votes` (1 to 8) of VOTES, and over the networks."""
    if num_votes == 1:
        return segmenter.segment(points)
    views = [functools.partial(moved, vote=vote) for vote in VOTES[:num_votes]]
    return Committee(segmenter.members).segment_views(points, views)
