"""Points so far from one another that small voxels between them cannot be numbered, and a network of such voxels."""

import numpy as np
import torch

from pvd_core.models import build_model
from pvd_core.weights import save_weights

FINE_MODEL = {"architecture": "minkunet", "channel_ratio": 0.0625, "grid": {"voxel_size": 0.01}}


def wide_points():
    """Two points, float32 (2, 4): each lies within 10 km of the sensor along each axis."""
    return np.array([[-9990, -9990, -9990, 0.5], [9990, 9990, 9990, 0.5]], np.float32)


def fine_weights(folder):
    """Weights of a tiny MinkUNet with voxels of 1 cm."""
    torch.manual_seed(0)
    path = folder / "fine.safetensors"
    save_weights(path, build_model(FINE_MODEL))
    return path
