"""A tiny network with random weights on disk: node and bag tests need labels, not good ones."""

from pathlib import Path

import torch

from pvd_core.models.build import build_model
from pvd_core.weights import save_weights

TINY = {
    "architecture": "cylinder3d",
    "width": 2,
    "grid": {"shape": (40, 30, 8)},
    "num_point_features": 8,
    "point_mlp_widths": (8, 8),
    "refinement_widths": (8, 8),
}


def tiny_weights(folder: Path) -> Path:
    torch.manual_seed(3)
    path = folder / "tiny.safetensors"
    save_weights(path, build_model(TINY), {"training_data": "none, random weights"})
    return path
