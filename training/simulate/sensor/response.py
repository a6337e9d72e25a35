"""What a LiDAR reports of the surfaces that its beams hit: lost returns, range noise, intensity in its scale.

Shape suffix: `N` beams that hit something within the sensor's reach.
"""

from dataclasses import dataclass

import numpy as np

from training.simulate.sensor.materials import MATERIALS, material_column
from training.simulate.sensor.sensors import SpinningLidar
from training.simulate.sensor.texture import smooth_noise, smooth_rank

_REFLECTIVITY, _TEXTURE, _SPECKLE = (material_column(name) for name in ("reflectivity", "texture", "speckle"))
_GRAZING, _ZERO_SHARE, _DROP = (material_column(name) for name in ("grazing", "zero_share", "drop"))
_RELIEF_M, _IS_RETRO = material_column("relief_m"), material_column("is_retro", bool)
# Intensity falls where the cosine of the incidence angle is below this.
_GRAZING_COSINE = 0.09
# How much less intensity an HDL-64E reports of a far surface than of the same one near by.
_LOSS_RANGES_M = (0.0, 22.0, 32.0, 50.0, 80.0)
_LOSS = (0.0, 0.0, 0.09, 0.22, 0.33)
_RETRO_LOSS = 0.3
# Sensors that report a byte are calibrated: a surface has the same intensity at every range. From KITTI's scale to it.
_CALIBRATED_FROM = (0.0, 0.15, 0.24, 0.31, 0.36, 0.40, 0.60, 0.99)
_CALIBRATED_TO = (0.0, 1.5, 4.5, 13.0, 31.0, 41.0, 80.0, 255.0)
_MATERIAL_SPREAD = 0.08
_BLOOM_GAIN = 0.45


@dataclass(frozen=True)
class Surfaces:
    """The surfaces that N beams hit."""

    ranges_m: np.ndarray
    """(N,) float32."""
    cosines: np.ndarray
    """(N,) float32 cosine of the angle between beam and normal, 0..1."""
    materials: np.ndarray
    """(N,) uint8 indices into `MATERIALS`."""
    brightness: np.ndarray
    """(N,) float32 factor on the material's reflectivity, such as the colour of a car's paint."""
    places: np.ndarray
    """(N, 3) float32 metres, in axes fixed to the world."""

    def __getitem__(self, index: np.ndarray) -> "Surfaces":
        """The surfaces of some beams: indices, or a bool array (N,)."""
        return Surfaces(*(column[index] for column in vars(self).values()))


class Response:
    """One unit of a sensor on one drive, with its lasers' gains and the brightness of the drive's materials."""

    def __init__(self, sensor: SpinningLidar, random: np.random.Generator) -> None:
        self._sensor = sensor
        # The gains of a sensor's lasers differ, a few of them widely: real scans have lighter and darker rings.
        gains = random.normal(1, 0.1, sensor.num_rings)
        gains[random.random(sensor.num_rings) < 0.06] *= random.uniform(0.35, 0.8)
        self._gains = np.clip(gains, 0.25, 1.35).astype(np.float32)
        spread = np.clip(random.normal(1, _MATERIAL_SPREAD, len(MATERIALS)), 0.75, 1.25)
        self._reflectivity = (_REFLECTIVITY * spread).astype(np.float32)

    def returned(self, surfaces: Surfaces, random: np.random.Generator) -> np.ndarray:
        """Bool (N,): where the pulse comes back. Dark surfaces, and far ones hit at a flat angle, lose more pulses."""
        far = np.clip((surfaces.ranges_m - 25) / 55, 0, 1)
        grazed = 1 - np.clip(surfaces.cosines / 0.06, 0, 1)
        dark = np.clip(2 - surfaces.brightness, 0.2, 2) ** 2
        share = _DROP[surfaces.materials] * dark * (1 + 6 * far) + 0.4 * far**2 * (0.1 + 0.9 * grazed)
        # Half of the losses come in patches, as when a whole pane or a dark panel is lost.
        rank = smooth_rank(surfaces.places, offset=31)
        in_patches = random.random(len(rank), dtype=np.float32) < 0.5
        return np.where(in_patches, rank, random.random(len(rank), dtype=np.float32)) >= share

    def measured(self, surfaces: Surfaces, random: np.random.Generator) -> np.ndarray:
        """Float32 (N,) ranges in metres, with the sensor's noise and the surface's roughness, clipped to its reach."""
        sensor, ranges = self._sensor, surfaces.ranges_m
        noise = sensor.range_noise_m * (1 + (ranges / 50) ** np.float32(1.5))
        relief = _RELIEF_M[surfaces.materials] * np.sqrt(ranges / 25)
        scatter = np.clip(random.standard_normal(len(ranges), dtype=np.float32), -4, 4)
        measured = ranges + scatter * np.sqrt(noise * noise + relief * relief)
        return np.clip(measured, sensor.min_range_m, sensor.max_range_m).astype(np.float32)

    def intensities(
        self, surfaces: Surfaces, rings: np.ndarray, is_bloomed: np.ndarray, random: np.random.Generator
    ) -> np.ndarray:
        """Float32 (N,) in the sensor's scale and steps. rings: (N,), is_bloomed: see `reported_surfaces`."""
        materials, ranges = surfaces.materials, surfaces.ranges_m
        level = self._reflectivity[materials] * surfaces.brightness
        level = level * np.clip(surfaces.cosines / _GRAZING_COSINE, 0.02, 1) ** _GRAZING[materials]
        level = level + _TEXTURE[materials] * smooth_noise(surfaces.places)
        level = level + _SPECKLE[materials] * random.standard_normal(len(ranges), dtype=np.float32)
        level[is_bloomed] *= _BLOOM_GAIN
        zero_share = _ZERO_SHARE[materials] * np.clip(2 - surfaces.brightness, 0, 2)
        level[smooth_rank(surfaces.places, offset=17) < zero_share] = 0
        if self._sensor.intensity_max > 1:
            level = np.interp(level * np.sqrt(self._gains[rings]), _CALIBRATED_FROM, _CALIBRATED_TO)
            return np.rint(level).astype(np.float32)
        loss = np.interp(ranges, _LOSS_RANGES_M, _LOSS).astype(np.float32)
        level = level * self._gains[rings] - np.where(_IS_RETRO[materials], _RETRO_LOSS, 1) * loss
        level[level < 0.02 + 0.06 * np.clip(ranges / 25, 0, 1)] = 0
        return (np.rint(np.clip(level, 0, 0.99) * 100) / 100).astype(np.float32)
