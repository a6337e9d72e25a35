"""Networks, voxels, sparse engine and losses of PVD. Needs torch, numpy and pyyaml; knows nothing of ROS."""

import os
from pathlib import Path

# How long OpenMP threads wait actively before they sleep. If longer, they take the cores from other programs, as on a
# vehicle; if shorter, they sleep between any two matrix products. docs/choices.md has the times. OpenMP reads the
# variable when torch is first imported.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")


def default_weights() -> Path:
    """Path of the weights that ship with the package."""
    return Path(__file__).parent / "shipped" / "default.safetensors"


def cylinder3d_weights() -> Path:
    """Path of the weights of a Cylinder3D that ship too, the teacher of the tables at reduced scale."""
    return Path(__file__).parent / "shipped" / "cylinder3d.safetensors"


def multiscan_weights() -> Path:
    """Path of the weights that ship for three scans at once, which tell moving things from still ones."""
    return Path(__file__).parent / "shipped" / "multiscan.safetensors"
