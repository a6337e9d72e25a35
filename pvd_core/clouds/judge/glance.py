"""A quick look at a cloud: enough to tell whether it differs from one that was judged, not what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pvd_core.clouds.measured import is_measured, measured_points

_SAMPLE = 1_000
# Scans of one drive at ten a second differ by less within five seconds; a look too many costs milliseconds only.
_MOST_MOVED_M, _MOST_LIFTED_M, _MOST_TIMES, _MOST_SHARE = 4.0, 0.7, 1.4, 0.2


@dataclass(frozen=True)
class Glance:
    """share: of points that are measured. centre: their median (3,). reach: their median range. bright: their 95th
    percentile of intensity. dull: share of them whose intensity is 0 or not finite. 0 where nothing is measured."""

    share: float
    centre: np.ndarray
    reach: float
    bright: float
    dull: float

    def differs_from(self, other: Glance) -> bool:
        """Whether a cloud like this one is to be judged though one like the other was."""
        moved = np.abs(self.centre - other.centre)
        return bool(
            abs(self.share - other.share) > _MOST_SHARE
            or max(moved[0], moved[1]) > _MOST_MOVED_M
            or moved[2] > _MOST_LIFTED_M
            or _differ(self.reach, other.reach)
            or _differ(self.bright, other.bright)
            or abs(self.dull - other.dull) > _MOST_SHARE
        )


def glance_at(points: np.ndarray) -> Glance:
    """`points` float32 (N, 4) as the cloud has them. Takes well under a millisecond."""
    if len(points) > _SAMPLE:
        points = points[np.random.default_rng(0).integers(len(points), size=_SAMPLE)]
    measured = measured_points(points, is_measured(points)).astype(np.float64)
    if not len(measured):
        return Glance(0.0, np.zeros(3), 0.0, 0.0, 0.0)
    intensity = measured[:, 3]
    reach = float(np.median(np.sqrt((measured[:, :3] ** 2).sum(axis=1))))
    return Glance(
        len(measured) / len(points),
        np.median(measured[:, :3], axis=0),
        reach,
        float(np.percentile(intensity, 95)),
        float((intensity == 0).mean()),
    )


def _differ(one: float, other: float) -> bool:
    low, high = sorted((abs(one), abs(other)))
    return high > _MOST_TIMES * low or one * other < 0
