"""The distillation methods by name, and the paper's coefficients for them."""

from collections.abc import Callable
from typing import Any

from pvd_core.losses.baselines.cd import CD, CDConfig
from pvd_core.losses.baselines.ifv import IFV, IFVConfig
from pvd_core.losses.baselines.ka import KA, KAConfig
from pvd_core.losses.baselines.kd import KD, KDConfig
from pvd_core.losses.baselines.skd import SKD, SKDConfig
from pvd_core.losses.distillation import Channels, DistillationMethod, MethodConfig
from pvd_core.losses.pvd import PVD, PVDConfig

# name: (method, its config)
METHODS: dict[str, tuple[Callable[[Any, Channels, Channels], DistillationMethod], type[MethodConfig]]] = {
    "pvd": (PVD, PVDConfig),
    "kd": (KD, KDConfig),
    "cd": (CD, CDConfig),
    "ifv": (IFV, IFVConfig),
    "skd": (SKD, SKDConfig),
    "ka": (KA, KAConfig),
}

# Of the methods that may read point outputs: the settings with which they do not.
WITHOUT_POINTS = {"pvd": ("point_output=0", "point_affinity=0"), "kd": ("on_points=false",)}

# By backbone and method, from table 4 of the PVD paper's supplementary material. Those for Cylinder3D are the defaults
# of the configs.
PAPER_COEFFICIENTS: dict[str, dict[str, dict[str, float]]] = {
    "cylinder3d": {},
    "spvcnn": {
        "pvd": {"point_output": 0.1, "voxel_output": 0.1, "point_affinity": 0.1, "voxel_affinity": 0.15},
        "kd": {"weight": 0.1},
        "cd": {"feature": 0.05, "score": 0.1},
        "ifv": {"weight": 0.3},
        "skd": {"pixel": 0.15, "pair": 0.15},
        "ka": {"adaptation": 0.2, "affinity": 0.1},
    },
    "minkunet": {
        "pvd": {"point_output": 0.1, "voxel_output": 0.1, "point_affinity": 0.15, "voxel_affinity": 0.2},
        "kd": {"weight": 0.2},
        "cd": {"feature": 0.05, "score": 0.1},
        "ifv": {"weight": 0.2},
        "skd": {"pixel": 0.1, "pair": 0.2},
        "ka": {"adaptation": 0.15, "affinity": 0.2},
    },
}


def paper_coefficients(backbone: str, method: str) -> dict[str, float]:
    """The paper's coefficients of a method for a backbone, as far as they differ from the defaults of its config; none
    for networks that the paper does not have."""
    return PAPER_COEFFICIENTS.get(backbone, {}).get(method, {})
