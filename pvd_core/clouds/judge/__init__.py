"""The judge of clouds: what of a cloud is not as networks expect it, and what mends it."""

from collections.abc import Sequence
from itertools import chain

import numpy as np

from pvd_core.clouds.intensity import USUAL_95TH
from pvd_core.clouds.judge.brightness import Scale, remarks_on_intensity
from pvd_core.clouds.judge.extent import remark_on_repeats, remarks_on_extent
from pvd_core.clouds.judge.frame import MOUNTING_KINDS, remarks_on_frame
from pvd_core.clouds.judge.glance import Glance, glance_at
from pvd_core.clouds.judge.remark import MOUNTING_SETTINGS, Remark, Wording, options, parameters
from pvd_core.clouds.measured import is_measured
from pvd_core.clouds.mounting import Mounting

_SAMPLE = 8_000
_USUAL = Mounting()


def judge(
    points: np.ndarray,
    intensity_factor: float = 1.0,
    mounting: Mounting = _USUAL,
    usual_95th: float = USUAL_95TH,
    other_fields: Sequence[str] = (),
    is_factor_of_others: bool = False,
) -> list[Remark]:
    """Remarks on a cloud, at most one of a kind, none if it is as networks expect it.

    `points` float32 (N, 4 or more) as the cloud has them: x, y, z, intensity. `intensity_factor` and `mounting`: what
    will be applied to them. `usual_95th`: as CloudStream takes it. `other_fields`: names of those in the cloud that
    might hold the intensity if the fourth column does not. `is_factor_of_others`: the factor is what earlier clouds
    told. Looks mostly at some thousand of the points, always the same ones.
    """
    points = points[:, :4]
    if not len(points):
        return [Remark("empty", "the cloud has no points", "look at the sensor and its driver")]
    sample = drawn_points(points)
    is_measured_N = is_measured(sample)
    all_measured, measured = points[is_measured(points)], sample[is_measured_N]
    remarks = list(remarks_on_extent(sample, is_measured_N, len(points)))
    if repeats := remark_on_repeats(all_measured):
        remarks.append(repeats)
    if len(measured):
        is_misplaced = any(remark.kind in ("map_frame", "units", "polar", "rings") for remark in remarks)
        of_frame = () if is_misplaced else remarks_on_frame(all_measured, measured, mounting)
        scale = Scale(intensity_factor, usual_95th, is_factor_of_others)
        remarks += chain(of_frame, remarks_on_intensity(all_measured, measured[:, 3], scale, other_fields))
    return remarks


def drawn_points(points: np.ndarray) -> np.ndarray:
    """Some thousand of `points`, drawn at random, always the same; all of them if they are few."""
    if len(points) <= _SAMPLE:
        return points
    return points[np.random.default_rng(0).integers(len(points), size=_SAMPLE)]


__all__ = [
    "MOUNTING_KINDS",
    "MOUNTING_SETTINGS",
    "Glance",
    "Remark",
    "Wording",
    "drawn_points",
    "glance_at",
    "judge",
    "options",
    "parameters",
]
