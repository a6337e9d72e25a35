"""Networks, voxels, sparse engine and losses of PVD. Needs torch, numpy and pyyaml; knows nothing of ROS."""

import os
from pathlib import Path

# How long OpenMP threads wait actively before they sleep. If longer, they take the cores from other programs, as on a
# vehicle; if shorter, they sleep between any two matrix products. docs/choices.md has the times. OpenMP reads the
# variable when torch is first imported.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")


# Names by which a user may call the weights that ship with the package. minkunet-0.5x: the default before, a teacher;
# cylinder3d: the teacher of the tables at reduced scale; multiscan: for three scans at once, tells moving things from
# still ones.
SHIPPED_WEIGHTS = ("default", "cylinder3d-0.5x", "minkunet-0.5x", "cylinder3d", "multiscan")


def shipped_weights(name: str) -> Path:
    """Path of the weights that ship under one of SHIPPED_WEIGHTS."""
    return Path(__file__).parent / "shipped" / f"{name}.safetensors"


def default_weights() -> Path:
    """Path of the weights that are taken where none are named."""
    return shipped_weights("default")
