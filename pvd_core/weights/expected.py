"""What a network expects of a cloud: the frame, the place of the sensor and the units of the scans it learned from."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pvd_core.borders.errors import UserError
from pvd_core.borders.settings import filled
from pvd_core.borders.wording import shown
from pvd_core.clouds.intensity import LARGEST_FACTOR, USUAL_95TH

EXPECTED_CLOUD_KEY = "expected_cloud"

_AXES = "x forward, y left, z up"


@dataclass(frozen=True)
class ExpectedCloud:
    """Coordinates are metres in the sensor's frame. The defaults are those of SemanticKITTI, of the simulator, and so
    of all weights whose header says nothing else."""

    axes: str = _AXES
    sensor_height_m: float = 1.73  # above the ground
    intensity_range: tuple[float, float] = (0.0, 1.0)
    intensity_95th: float = USUAL_95TH  # of the intensities of a scan, 95 % are below about this

    def __post_init__(self) -> None:
        low, high = self.intensity_range
        if self.axes != _AXES:
            raise UserError(f"axes are {shown(self.axes)}: expected {_AXES!r}, the only ones this version labels")
        if not 0 <= self.sensor_height_m <= 100:
            raise UserError(f"sensor_height_m is {self.sensor_height_m}: expected 0 to 100 metres")
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise UserError(f"intensity_range is {low} to {high}: expected two numbers, the smaller one first")
        if not 0 < self.intensity_95th <= LARGEST_FACTOR:
            raise UserError(f"intensity_95th is {self.intensity_95th}: expected above 0, at most {LARGEST_FACTOR:g}")

    def __str__(self) -> str:
        low, high = self.intensity_range
        return (
            f"{self.axes}, in metres, the sensor about {self.sensor_height_m:.1f} m above the ground, intensity "
            f"{low:g}..{high:g}"
        )


def expected_cloud(facts: Mapping[str, Any]) -> ExpectedCloud:
    """What the weights with these `facts` expect; the defaults where files of earlier versions do not say it. UserError
    for values that do not fit."""
    values = facts.get(EXPECTED_CLOUD_KEY, {})
    if not isinstance(values, dict):
        raise UserError(f"{EXPECTED_CLOUD_KEY} is {shown(values)}: expected a section")
    return filled(ExpectedCloud, values, f"{EXPECTED_CLOUD_KEY}.")
