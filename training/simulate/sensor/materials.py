"""How surfaces answer a laser pulse: how bright, how rough, how often not at all. Applied by `response`.

The numbers were set so that intensity, roughness and lost returns, by class and range, resemble real HDL-64E scans.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike


@dataclass(frozen=True)
class Material:
    """How one kind of surface answers a laser pulse. Intensities are in KITTI's scale, 0..0.99."""

    name: str
    reflectivity: float
    """Mean intensity at short range and steep incidence, in KITTI's scale 0..0.99."""
    texture: float
    """Standard deviation of the intensity between patches of the surface."""
    speckle: float
    """Standard deviation of the intensity from point to point."""
    grazing: float = 0.2
    """How fast intensity falls once the beam is nearly parallel to the surface (0: not at all)."""
    zero_share: float = 0.0
    """Share of the surface, 0..1, that reports intensity 0, since it is shiny or dark."""
    drop: float = 0.001
    """Share of the pulses, 0..1, that never come back."""
    relief_m: float = 0.0
    """Standard deviation of ranges at 25 m, from detail that the mesh leaves out, such as grass and leaves."""
    is_retro: bool = False
    """A retro-reflector sends the pulse straight back: it is bright at every range and blooms over its edges."""


MATERIALS = (
    Material("asphalt", 0.255, 0.045, 0.03, grazing=0.6, zero_share=0.045),
    Material("marking", 0.42, 0.06, 0.04, grazing=0.5),
    Material("paving", 0.325, 0.04, 0.026, grazing=0.2, zero_share=0.002),
    Material("gravel", 0.28, 0.07, 0.035, grazing=0.3, zero_share=0.04, relief_m=0.008),
    Material("grass", 0.345, 0.045, 0.038, grazing=0.1, zero_share=0.001, relief_m=0.035),
    Material("paint", 0.28, 0.13, 0.035, zero_share=0.51, drop=0.03),
    Material("glass", 0.16, 0.1, 0.06, zero_share=0.75, drop=0.28),
    Material("rubber", 0.17, 0.06, 0.05, zero_share=0.35, drop=0.03),
    Material("panel", 0.33, 0.12, 0.035, zero_share=0.09, drop=0.008),
    Material("chrome", 0.30, 0.25, 0.1, zero_share=0.35, drop=0.06),
    Material("plate", 0.93, 0.05, 0.08, is_retro=True),
    Material("brick", 0.43, 0.08, 0.03, zero_share=0.004, drop=0.002),
    Material("plaster", 0.46, 0.09, 0.03, zero_share=0.006, drop=0.002),
    Material("window", 0.34, 0.15, 0.05, zero_share=0.1, drop=0.03),
    Material("tiles", 0.33, 0.08, 0.04, drop=0.004),
    Material("wood", 0.34, 0.09, 0.05, zero_share=0.03, drop=0.004),
    Material("stone", 0.33, 0.08, 0.045, zero_share=0.01),
    Material("steel", 0.29, 0.16, 0.08, zero_share=0.2, drop=0.004),
    Material("bark", 0.38, 0.09, 0.07, zero_share=0.01, relief_m=0.012),
    Material("leaf", 0.36, 0.08, 0.068, zero_share=0.01, drop=0.003, relief_m=0.045),
    Material("cloth", 0.42, 0.1, 0.09, zero_share=0.02, relief_m=0.01),
    Material("skin", 0.45, 0.06, 0.07),
    Material("sign", 0.78, 0.27, 0.06, zero_share=0.14, is_retro=True),
    Material("sign_back", 0.3, 0.1, 0.05, zero_share=0.15),
)
_INDEX = {material.name: index for index, material in enumerate(MATERIALS)}


def material_index(name: str) -> int:
    """Index of the named material in `MATERIALS`; KeyError if there is none."""
    return _INDEX[name]


def material_column(attribute: str, dtype: DTypeLike = np.float32) -> np.ndarray:
    """(materials,): one attribute of every material, to be indexed with `Mesh.materials`."""
    return np.array([getattr(material, attribute) for material in MATERIALS], dtype=dtype)
