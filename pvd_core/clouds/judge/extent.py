"""Remarks on where the points of a cloud lie, how many they are, and which are no measurement. N points.

The figures are measured on all real scans at hand (KITTI, nuScenes, PandaSet, RELLIS-3D, Argoverse 2, nine sensors of
other sources) and on simulated ones of seven sensors; "at most" and "at least" are over these.
"""

from collections.abc import Iterator

import numpy as np

from pvd_core.borders.wording import counted
from pvd_core.clouds.judge.polar import is_polar
from pvd_core.clouds.judge.remark import Remark
from pvd_core.clouds.measured import MAX_COORDINATE_M

# At most 41 % are no measurement (an organised cloud under the open sky).
_MOST_UNMEASURED = 0.8
_MOST_FAR = 0.01
# Thinned at random, a scan of 64 beams loses a third of its accuracy down to 4,000 points, 45 % down to 1,500. Sensors
# with 16 beams give at least 14,000; a front sector of 32 beams 5,900.
_FEW_POINTS = 1500
# The points' median is at most 25 m from the sensor, and 5 % of the points are within 8.1 m.
_FARTHEST_CENTRE_M, _NEAREST_OF_MAP_M, _NEAREST_DOUBTFUL_M = 50.0, 40.0, 12.0
# The median range is at most 26 m outdoors and at least 0.7 m indoors, where 1 % lie beyond 8 m.
_LARGEST_MEDIAN_M, _SMALLEST_REACH_M = 150.0, 2.0
_SMALL_UNITS = [
    (3000.0, "millimetres", "0.001"),
    (700.0, "centimetres", "0.01"),
    (_LARGEST_MEDIAN_M, "centimetres or inches", "0.01 or 0.0254"),
]
# A sensor that reports two returns repeats a point where they are one: at most 48 %.
_MOST_REPEATED = 0.6
_RING_STEP_DEG, _FEW_RING_STEPS = 0.2, 10


def remarks_on_extent(sample: np.ndarray, is_measured_N: np.ndarray, num_points: int) -> Iterator[Remark]:
    """`sample`: points float32 (N, 3 or more), drawn at random from `num_points`."""
    with np.errstate(invalid="ignore"):  # bytes in the wrong order hold NaN that signal when they are cast
        xyz = sample[:, :3].astype(np.float64)
    is_finite_N = np.all(np.isfinite(xyz), axis=1)
    is_given_N = is_finite_N & np.any(xyz != 0, axis=1)
    measured = xyz[is_measured_N]
    place = _remark_on_place(xyz[is_given_N]) if is_given_N.any() else None
    if place:
        yield place
    yield from _remarks_on_shares(xyz, is_finite_N, is_given_N, is_measured_N)
    num_measured = round(num_points * len(measured) / len(xyz))
    if 0 < num_measured < _FEW_POINTS:
        yield Remark(
            "few_points",
            f"the cloud has about {counted(num_measured, 'measured point')}, networks know 15,000 to 130,000",
            "give whole scans, neither thinned nor cut; labels of few points are less accurate",
        )
    if not place and len(measured) > _FEW_POINTS and _has_few_rings(measured):
        yield Remark(
            "rings",
            "nearly all points have the same few elevations: a scanner with few rings, or z is missing",
            "networks know 16 to 128 rings; labels are less accurate",
        )


def remark_on_repeats(measured: np.ndarray) -> Remark | None:
    """`measured` float32 (P, 4), all measured points of a cloud."""
    if len(measured) < 200:
        return None
    # Drawn points would not do: one that is there a thousand times is drawn with all its repetitions, or not at all.
    x, y, z, _ = np.ascontiguousarray(measured).view(np.uint32).T
    hashes = x * np.uint32(73856093) ^ y * np.uint32(19349663) ^ z * np.uint32(83492791)
    hashes.sort()
    share = np.count_nonzero(hashes[1:] == hashes[:-1]) / len(hashes)
    if share < _MOST_REPEATED:
        return None
    return Remark(
        "repeats",
        f"{share:.0%} of the points repeat others exactly",
        "they get the same labels; look whether clouds are written or joined more than once",
    )


def _remark_on_place(given: np.ndarray) -> Remark | None:
    """The cloud as a whole in a wrong place, or in a wrong unit. `given` float64 (N, 3): finite, and not 0, 0, 0."""
    is_many = len(given) >= _FEW_POINTS  # some points may well lie far away
    if is_polar(given):
        return Remark(
            "polar",
            "the coordinates are a range and two angles, not x, y and z",
            "turn them into x, y and z in metres where the clouds are made",
            spoils_labels=is_many,
        )
    ranges_m = np.sqrt((given * given).sum(axis=1))
    centre = np.median(given, axis=0)
    near, median, reach = np.percentile(ranges_m, (5, 50, 99))
    if near > _NEAREST_OF_MAP_M and np.linalg.norm(centre) > max(_FARTHEST_CENTRE_M, 0.5 * median):
        place = ", ".join(f"{axis} {value:,.0f}" for axis, value in zip("xyz", centre, strict=True))
        return Remark(
            "map_frame",
            f"the points lie around {place} m, not around the sensor, which is expected at the origin: a map's frame?",
            "give clouds in the sensor's frame, as its driver sends them",
            spoils_labels=is_many,
        )
    if median > _LARGEST_MEDIAN_M:
        unit, factor = next(each for least, *each in _SMALL_UNITS if median > least)
        return Remark(
            "units",
            f"half of the points are beyond {median:,.0f} m, where metres are expected: {unit}?",
            f"multiply x, y and z by {factor} where the clouds are made",
            spoils_labels=is_many,
        )
    if near > _NEAREST_DOUBTFUL_M and np.linalg.norm(centre) < 0.6 * near:
        return Remark(
            "units",
            f"nearly all points are more than {near:.0f} m from the origin, all around it, where metres are "
            f"expected: {'decimetres' if near > _NEAREST_OF_MAP_M else 'feet'}?",
            "bring x, y and z to metres where the clouds are made",
            spoils_labels=is_many and near > _NEAREST_OF_MAP_M,
        )
    if near > _NEAREST_DOUBTFUL_M:
        return Remark(
            "map_frame",
            f"nearly all points are more than {near:.0f} m from the origin, where the sensor is expected",
            "give clouds in the sensor's frame, as its driver sends them",
        )
    if reach < _SMALLEST_REACH_M:
        return Remark(
            "units",
            f"nearly all points are within {reach:.2g} m of the sensor, where metres are expected",
            "bring x, y and z to metres where the clouds are made",
            is_certain=False,
        )
    return None


def _remarks_on_shares(
    xyz: np.ndarray, is_finite_N: np.ndarray, is_given_N: np.ndarray, is_measured_N: np.ndarray
) -> Iterator[Remark]:
    unmeasured, far = 1 - is_measured_N.mean(), (is_given_N & ~is_measured_N).mean()
    not_finite, zero = 1 - is_finite_N.mean(), (is_finite_N & ~is_given_N).mean()
    kinds = [(zero, "at 0, 0, 0"), (not_finite, "NaN or infinite"), (far, f"beyond {MAX_COORDINATE_M / 1000:g} km")]
    found = ", ".join(f"{share:.0%} {what}" for share, what in kinds if share > 0)
    if unmeasured == 1:
        yield Remark(
            "unmeasured",
            f"no point of the cloud is a measurement ({found}), so all get label 0",
            "look at the sensor and its driver",
        )
    elif unmeasured > _MOST_UNMEASURED or far > _MOST_FAR:
        yield Remark(
            "unmeasured",
            f"{unmeasured:.0%} of the points are no measurement ({found}) and get label 0",
            "look at the sensor and its driver",
        )


def _has_few_rings(measured: np.ndarray) -> bool:
    elevations_deg = np.degrees(np.arctan2(measured[:, 2], np.hypot(measured[:, 0], measured[:, 1])))
    steps = np.bincount(((elevations_deg + 90) / _RING_STEP_DEG).astype(np.int64))
    return np.sort(steps)[::-1][:_FEW_RING_STEPS].sum() > 0.98 * len(measured)
