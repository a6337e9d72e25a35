"""How surfaces answer a laser pulse: intensity in SemanticKITTI's scale 0..0.99 and the chance of no return.

The numbers were set so that intensities by class and range resemble those of real HDL-64E scans.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Material:
    name: str
    reflectivity: float
    """Mean intensity at 10..25 m and steep incidence."""
    speckle: float
    """Standard deviation from point to point."""
    grazing: float = 0.3
    """How fast intensity fades once the beam is nearly parallel to the surface (0: not at all)."""
    zero_share: float = 0.0
    """Share of returns so weak that the sensor reports intensity 0 (shiny surfaces mirror the pulse away)."""
    drop: float = 0.005
    """Share of pulses that never come back."""


MATERIALS = (
    Material("asphalt", 0.26, 0.055, grazing=1.3, zero_share=0.04),
    Material("marking", 0.42, 0.08, grazing=1.0),
    Material("paving", 0.31, 0.05, grazing=0.6, zero_share=0.01),
    Material("gravel", 0.30, 0.06, grazing=0.5, zero_share=0.04),
    Material("grass", 0.36, 0.06, grazing=0.3, zero_share=0.01),
    Material("paint", 0.3, 0.14, zero_share=0.5, drop=0.04),
    Material("glass", 0.12, 0.12, zero_share=0.7, drop=0.4),
    Material("rubber", 0.16, 0.09, zero_share=0.25, drop=0.04),
    Material("panel", 0.33, 0.11, zero_share=0.12, drop=0.02),
    Material("chrome", 0.30, 0.25, zero_share=0.35, drop=0.1),
    Material("plate", 0.93, 0.1),
    Material("brick", 0.39, 0.09, drop=0.01),
    Material("plaster", 0.44, 0.09, drop=0.01),
    Material("window", 0.3, 0.17, zero_share=0.15, drop=0.12),
    Material("tiles", 0.33, 0.08, drop=0.02),
    Material("wood", 0.34, 0.08),
    Material("stone", 0.33, 0.08),
    Material("steel", 0.27, 0.14, zero_share=0.28, drop=0.03),
    Material("bark", 0.35, 0.1, zero_share=0.05),
    Material("leaf", 0.35, 0.1, zero_share=0.05, drop=0.015),
    Material("cloth", 0.41, 0.12, zero_share=0.03),
    Material("skin", 0.45, 0.08),
    Material("sign", 0.72, 0.25, zero_share=0.08),
    Material("sign_back", 0.26, 0.1, zero_share=0.12),
)
_INDEX = {material.name: index for index, material in enumerate(MATERIALS)}


def material_index(name):
    return _INDEX[name]


def _column(attribute):
    return np.array([getattr(material, attribute) for material in MATERIALS], dtype=np.float32)


_REFLECTIVITY, _SPECKLE, _GRAZING = _column("reflectivity"), _column("speckle"), _column("grazing")
_ZERO_SHARE, _DROP = _column("zero_share"), _column("drop")
# Beams that meet a surface flatter than this lose intensity (cosine of the incidence angle).
_GRAZING_COSINE = 0.09
_FADE_RANGES_M = (0.0, 6.0, 12.0, 25.0, 45.0, 80.0)
_FADE_INTENSITY = (0.85, 0.88, 1.0, 1.0, 0.62, 0.35)


def returns(materials_N, brightness_N, ranges_N, cosines_N, random):
    """True (N,) where the pulse comes back. Dark surfaces, and grazing ones far away, are lost more often."""
    fade = np.clip((ranges_N - 25) / 75, 0, 1) * (1 - np.clip(cosines_N / 0.15, 0, 1)) * 0.6
    lost = _DROP[materials_N] * np.clip(2 - brightness_N, 0.2, 2) ** 2 * (1 + ranges_N / 40) + fade
    return random.random(len(ranges_N), dtype=np.float32) >= lost


def intensities(materials_N, brightness_N, ranges_N, cosines_N, gains_N, random):
    """Float32 (N,) in 0..0.99, in steps of 0.01 like the sensor's; `gains_N` is what each laser makes of it."""
    grazing = np.clip(cosines_N / _GRAZING_COSINE, 0.02, 1) ** _GRAZING[materials_N]
    fade = np.interp(ranges_N, _FADE_RANGES_M, _FADE_INTENSITY).astype(np.float32)
    speckle = random.standard_normal(len(ranges_N), dtype=np.float32) * _SPECKLE[materials_N]
    level = (_REFLECTIVITY[materials_N] * brightness_N + speckle) * grazing * fade * gains_N
    zero_share = _ZERO_SHARE[materials_N] * np.clip(2 - brightness_N, 0, 2)
    level[random.random(len(ranges_N), dtype=np.float32) < zero_share] = 0
    return (np.rint(np.clip(level, 0, 0.99) * 100) / 100).astype(np.float32)
