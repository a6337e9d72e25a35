"""A tiny network with random weights on disk: node and bag tests need labels, not good ones."""

from pathlib import Path
from typing import Any

import torch

from pvd_core.clouds.history import PastScans
from pvd_core.models import Network
from pvd_core.models.build import build_model
from pvd_core.weights import save_weights
from pvd_core.weights.facts import past_scans_facts

TINY: dict[str, Any] = {
    "architecture": "cylinder3d",
    "width": 2,
    "grid": {"shape": (40, 30, 8)},
    "num_point_features": 8,
    "point_mlp_widths": (8, 8),
    "refinement_widths": (8, 8),
}


def tiny_weights(folder: Path) -> Path:
    path = folder / "tiny.safetensors"
    save_weights(path, _network(TINY), {"training_data": "none, random weights"})
    return path


def tiny_committee(folder: Path) -> list[Path]:
    """Two files, of networks of two families."""
    path = folder / "cubes.safetensors"
    cubes = {"architecture": "minkunet", "channel_ratio": 0.1, "grid": {"voxel_size": 1.0}}
    save_weights(path, _network(cubes), {"training_data": "none, random weights"})
    return [tiny_weights(folder), path]


def tiny_weights_with_time(folder: Path) -> Path:
    """Of a network that takes the time of points, of two past scans."""
    network = _network({**TINY, "grid": {**TINY["grid"], "time": True}})
    path = folder / "timed.safetensors"
    save_weights(path, network, past_scans_facts(PastScans(2, time=True)))
    return path


def _network(settings: dict[str, Any]) -> Network:
    torch.manual_seed(3)
    return build_model(settings)
