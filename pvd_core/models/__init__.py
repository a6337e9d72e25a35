"""Networks, and the dictionary that builds them by name."""

from pvd_core.models.build import PRESETS, build_model
from pvd_core.models.cylinder3d import Cylinder3D, Cylinder3DConfig
from pvd_core.models.network import Network

__all__ = ["PRESETS", "Cylinder3D", "Cylinder3DConfig", "Network", "build_model"]
