"""Spinning LiDARs: where their beams point, how far they see, what their carrier hides.

Angles are as seen from the sensor's origin: azimuth 0 forward, counter-clockwise; elevation 0 level, up positive.
"""

from dataclasses import dataclass, field

import numpy as np

from pvd_core.errors import UserError


@dataclass(frozen=True)
class Shadow:
    """Part of the view that the carrying vehicle itself covers (degrees): everything below `below_deg`."""

    from_deg: float
    to_deg: float
    below_deg: float


@dataclass(frozen=True)
class SpinningLidar:
    name: str
    elevations_deg: tuple[float, ...] = field(repr=False)
    """One per ring, top ring first."""
    num_azimuths: int
    height_m: float
    """Of the sensor above the road."""
    min_range_m: float
    max_range_m: float
    rate_hz: float
    range_noise_m: float
    shadows: tuple[Shadow, ...] = ()

    @property
    def num_rings(self):
        return len(self.elevations_deg)

    def directions(self):
        """Unit vectors, float64 (rings, azimuths, 3), in the sensor's frame (x forward, y left, z up)."""
        azimuths = (np.arange(self.num_azimuths) + 0.5) * (2 * np.pi / self.num_azimuths)
        elevations = np.radians(self.elevations_deg)[:, None]
        level = np.cos(elevations)
        height = np.broadcast_to(np.sin(elevations), (self.num_rings, self.num_azimuths))
        return np.stack([level * np.cos(azimuths), level * np.sin(azimuths), height], axis=-1)

    def sees(self):
        """False (rings, azimuths) where the carrying vehicle is in the way."""
        azimuths = (np.arange(self.num_azimuths) + 0.5) * (360 / self.num_azimuths)
        elevations = np.asarray(self.elevations_deg)[:, None]
        is_free = np.ones((self.num_rings, self.num_azimuths), dtype=bool)
        for shadow in self.shadows:
            inside = (azimuths - shadow.from_deg) % 360 <= (shadow.to_deg - shadow.from_deg) % 360
            is_free &= ~((elevations < shadow.below_deg) & inside)
        return is_free


# The beam angles are those the real sensor shows in SemanticKITTI's scans (median over each ring): a finer upper
# block of 32, a gap of half a degree, a coarser lower block. The shadows are the roof of the car that carried it.
HDL64E = SpinningLidar(
    name="hdl64e",
    elevations_deg=(*np.linspace(2.4, -7.83, 32), *np.linspace(-8.4, -23.75, 32)),
    num_azimuths=2083,
    height_m=1.73,
    min_range_m=1.0,
    max_range_m=80.0,
    rate_hz=10.0,
    range_noise_m=0.015,
    shadows=(
        Shadow(-14, 14, -20.8),
        Shadow(14, 19, -22.2),
        Shadow(-19, -14, -22.2),
        Shadow(164, 200, -18.9),
        Shadow(158, 207, -20.8),
        Shadow(152, 213, -23.0),
        Shadow(156, 163, -14.2),
        Shadow(191, 203, -14.2),
        Shadow(285, 300, -17.1),
        Shadow(230, 238, -20.9),
        Shadow(130, 139, -20.9),
    ),
)

VLP16 = SpinningLidar(
    name="vlp16",
    elevations_deg=tuple(np.linspace(15.0, -15.0, 16)),
    num_azimuths=1824,
    height_m=1.73,
    min_range_m=0.5,
    max_range_m=80.0,
    rate_hz=10.0,
    range_noise_m=0.02,
)

SENSORS = {sensor.name: sensor for sensor in (HDL64E, VLP16)}


def sensor_named(name):
    if name not in SENSORS:
        raise UserError(f"unknown sensor {name!r}; known sensors are {', '.join(sorted(SENSORS))}")
    return SENSORS[name]
