"""Whether scans are of one sensor: statistics of several sensors together fit none of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pvd_core.borders.errors import UserError
from pvd_core.borders.wording import counted
from pvd_core.clouds.bare import is_bare
from pvd_core.clouds.measured import is_measured, measured_points

# From the scan in the middle. KITTI's 33 scans are within 3 % of it in points and 16 % in intensity, 10 of nuScenes
# within 1 and 9 %; sensors that return less in open fields differ more.
_LARGEST_RATIO_OF_POINTS = 2.0
_LARGEST_RATIO_OF_INTENSITY = 4.0
_USUAL_SCANS = 16


@dataclass(frozen=True)
class ScanFacts:
    """num_points: measured ones. intensity_95th: of the intensities as the file has them, 95 % are below."""

    name: str
    num_points: int
    intensity_95th: float
    is_bare: bool


def facts_of(name: str, points: np.ndarray) -> ScanFacts:
    """Of a scan float32 (N, 4) as the file or message has it."""
    measured = measured_points(points, is_measured(points))
    bright = float(np.percentile(measured[:, 3], 95)) if len(measured) else 0.0
    return ScanFacts(name, len(measured), bright, is_bare(measured))


def check_one_sensor(scans: Sequence[ScanFacts]) -> None:
    """UserError where scans, at least one, are of several sensors, or have no point at all."""
    for scan in scans:
        if not scan.num_points:
            raise UserError(f"{scan.name} has no measured point; leave it out")
    bare = next((scan for scan in scans if scan.is_bare), None)
    bright = next((scan for scan in scans if not scan.is_bare), None)
    if bare and bright:
        raise UserError(
            f"{bare.name} has no intensity, {bright.name} has: expected scans of one sensor; adapt to each kind by "
            "itself"
        )
    _check_ratio(scans, "num_points", "measured points", _LARGEST_RATIO_OF_POINTS)
    if bright:
        _check_ratio(scans, "intensity_95th", "as the 95th percentile of intensity", _LARGEST_RATIO_OF_INTENSITY)


def remarks_on(scans: Sequence[ScanFacts]) -> list[str]:
    """Sentences on what makes an adaptation to these scans uncertain."""
    if len(scans) >= _USUAL_SCANS:
        return []
    return [
        f"{counted(len(scans), 'scan')} show little of what the sensor will see: "
        f"better give {_USUAL_SCANS} or more, of several places"
    ]


def _check_ratio(scans: Sequence[ScanFacts], field: str, what: str, largest_ratio: float) -> None:
    middle = float(np.median([getattr(scan, field) for scan in scans]))
    for scan in scans:
        value = getattr(scan, field)
        if value * largest_ratio < middle or value > middle * largest_ratio:
            raise UserError(
                f"{scan.name} has {value:,.4g} {what}, the scans in their middle {middle:,.4g}: expected scans of one "
                f"sensor in one setting, which differ by a factor below {largest_ratio:g}; adapt to each sensor by "
                "itself"
            )
