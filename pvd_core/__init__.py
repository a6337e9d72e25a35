"""Networks, voxels, sparse engine and losses of PVD. Needs torch, numpy and pyyaml; knows nothing of ROS."""

from pathlib import Path


def default_weights() -> Path:
    """Path of the weights that ship with the package."""
    return Path(__file__).parent / "weights" / "default.safetensors"
