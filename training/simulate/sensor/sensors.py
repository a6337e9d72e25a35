"""Spinning LiDARs: directions of their beams, how they turn, what they report, what their vehicle hides from them.

Angles are as seen from the sensor's origin: azimuth 0 forward, counter-clockwise; elevation 0 level, up positive.
"""

from dataclasses import dataclass, field

import numpy as np

from pvd_core.borders.errors import unknown_name
from training.simulate.sensor import tables


@dataclass(frozen=True)
class Shadow:
    """A sector of azimuths in which the vehicle hides every beam with an elevation below `below_deg` (degrees)."""

    from_deg: float
    to_deg: float
    below_deg: float


@dataclass(frozen=True)
class SpinningLidar:
    """A model of sensor. Seen from above it turns clockwise; a sweep starts and ends at the rear, so that the sensor
    looks forward in the middle of the sweep."""

    name: str
    elevations_deg: tuple[float, ...] = field(repr=False)
    """One per ring, top ring first."""
    num_azimuths: int
    height_m: float
    """Usual height of the sensor's origin above the road."""
    min_range_m: float
    max_range_m: float
    rate_hz: float
    range_noise_m: float
    """Standard deviation of ranges at short range; at 50 m it is twice that."""
    range_step_m: float = 0.002
    """Resolution of the reported ranges."""
    intensity_max: float = 0.99
    """Intensity of the brightest return. 0.99: KITTI's scale; 255: one byte, diffuse surfaces below 100."""
    azimuth_step_deg: float = 0.0
    """Resolution of the encoder that measures the azimuths (0: exact)."""
    beam_width_deg: float = 0.1
    origins_m: tuple[float, ...] = field(default=(), repr=False)
    """Height of each ring's laser above the sensor's origin; empty: all 0."""
    shadows: tuple[Shadow, ...] = ()
    """What the vehicle hides."""

    @property
    def num_rings(self) -> int:
        return len(self.elevations_deg)

    @property
    def azimuths_deg(self) -> np.ndarray:
        """Float64 (azimuths,), increasing, in 0..360."""
        azimuths = (np.arange(self.num_azimuths) + 0.5) * (360 / self.num_azimuths)
        if self.azimuth_step_deg:
            azimuths = (np.floor(azimuths / self.azimuth_step_deg) + 0.5) * self.azimuth_step_deg
        return azimuths

    @property
    def column_times(self) -> np.ndarray:
        """Float64 (azimuths,): when each column is measured, as a share of the sweep from its middle, -0.5..0.5."""
        turned = (self.azimuths_deg + 180) % 360 / 360 - 0.5
        return -turned

    def directions(self) -> np.ndarray:
        """Unit vectors, float64 (rings, azimuths, 3), in the sensor's frame (x forward, y left, z up)."""
        azimuths = np.radians(self.azimuths_deg)
        elevations = np.radians(self.elevations_deg)[:, None]
        level = np.cos(elevations)
        height = np.broadcast_to(np.sin(elevations), (self.num_rings, self.num_azimuths))
        return np.stack([level * np.cos(azimuths), level * np.sin(azimuths), height], axis=-1)

    def sees(self) -> np.ndarray:
        """Bool (rings, azimuths): False where the vehicle hides the view."""
        elevations = np.asarray(self.elevations_deg)[:, None]
        is_free = np.ones((self.num_rings, self.num_azimuths), dtype=bool)
        for shadow in self.shadows:
            inside = (self.azimuths_deg - shadow.from_deg) % 360 <= (shadow.to_deg - shadow.from_deg) % 360
            is_free &= ~((elevations < shadow.below_deg) & inside)
        return is_free


# The shadows are the roof of the car that carried the real sensor.
HDL64E = SpinningLidar(
    name="hdl64e",
    elevations_deg=tables.HDL64E_DEG,
    origins_m=tables.HDL64E_ORIGINS_M,
    num_azimuths=2168,
    azimuth_step_deg=0.09,
    height_m=1.73,
    min_range_m=1.0,
    max_range_m=80.0,
    rate_hz=10.0,
    range_noise_m=0.0085,
    shadows=(
        Shadow(-14, 14, -22.12),
        Shadow(14, 19, -23.14),
        Shadow(-19, -14, -23.14),
        Shadow(164, 200, -20.07),
        Shadow(158, 207, -22.12),
        Shadow(152, 213, -24.16),
        Shadow(156, 163, -14.95),
        Shadow(191, 203, -14.95),
        Shadow(285, 300, -18.02),
        Shadow(230, 238, -22.12),
        Shadow(130, 139, -22.12),
    ),
)


def _byte_sensor(
    name: str,
    elevations_deg: tuple[float, ...],
    num_azimuths: int,
    max_range_m: float,
    noise_m: float,
    beam_width_deg: float,
    step_m: float,
    min_range_m: float = 0.5,
) -> SpinningLidar:
    return SpinningLidar(
        name=name,
        elevations_deg=elevations_deg,
        num_azimuths=num_azimuths,
        height_m=1.73,
        min_range_m=min_range_m,
        max_range_m=max_range_m,
        rate_hz=10.0,
        range_noise_m=noise_m,
        range_step_m=step_m,
        intensity_max=255.0,
        beam_width_deg=beam_width_deg,
    )


VLP16 = _byte_sensor("vlp16", tables.VLP16_DEG, 1824, 100.0, 0.012, 0.17, 0.002)
VLP32C = _byte_sensor("vlp32c", tables.VLP32C_DEG, 1808, 120.0, 0.012, 0.17, 0.004)
OS1_64 = _byte_sensor("os1-64", tables.OS1_64_DEG, 1024, 120.0, 0.011, 0.18, 0.001)
OS1_128 = _byte_sensor("os1-128", tables.OS1_128_DEG, 1024, 120.0, 0.011, 0.18, 0.001)
PANDAR64 = _byte_sensor("pandar64", tables.PANDAR64_DEG, 1800, 120.0, 0.009, 0.1, 0.004, min_range_m=0.3)
XT32 = _byte_sensor("xt32", tables.XT32_DEG, 2000, 120.0, 0.006, 0.06, 0.004, min_range_m=0.05)

SENSORS = {sensor.name: sensor for sensor in (HDL64E, VLP16, VLP32C, OS1_64, OS1_128, PANDAR64, XT32)}


def sensor_named(name: str) -> SpinningLidar:
    """The sensor of that name; UserError with the closest and the known names if there is none."""
    if name not in SENSORS:
        raise unknown_name("sensor", name, SENSORS)
    return SENSORS[name]
