"""Networks, voxels, sparse engine and losses of PVD. Needs torch, numpy and pyyaml; knows nothing of ROS."""

import os
from pathlib import Path

# OpenMP threads spin for about a millisecond before they sleep. Where other programs share the cores, as on a vehicle,
# that starves the threads waited for. One scan on 2 cores with long, this and no spinning: 0.25, 0.24, 0.40 s alone and
# 0.9-16, 0.54, 0.37 s beside busy programs. OpenMP reads the variable when torch is first imported.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def default_weights() -> Path:
    """Path of the weights that ship with the package."""
    return Path(__file__).parent / "weights" / "default.safetensors"
