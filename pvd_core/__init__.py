"""Networks, voxels, sparse engine and losses of PVD. Needs torch, numpy and pyyaml; knows nothing of ROS."""

import os
from pathlib import Path

# OpenMP's threads wait by spinning. Where other programs share the cores, as on a vehicle, the spinning starves the
# threads waited for: one scan took 0.9 to 16 s that way and 0.5 s with waits that sleep (2 cores, load 5). OpenMP reads
# this when torch is first imported; a choice of the user's stays.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def default_weights() -> Path:
    """Path of the weights that ship with the package."""
    return Path(__file__).parent / "weights" / "default.safetensors"
