"""Tiny networks of every family, and clouds with all that they may hold, for tests of programs."""

import numpy as np
import torch

from pvd_core.models import build_model

SETTINGS = {"width": 4, "num_point_features": 16, "point_mlp_widths": (16,), "grid": {"shape": (48, 36, 8)}}
_CUBES = {"channel_ratio": 0.125, "grid": {"voxel_size": 2.0}}
_BLOCKS = [[4, 8, True]]
_PLAN = {
    "stem": 4,
    "down": [{"step": step, "blocks": _BLOCKS} for step in (4, 8, 8, 8)],
    "up": [{"step": 8, "blocks": [[6, 8, True], [8, 8, False]]}] * 4,
}

NETWORKS = {
    "cylinder3d": {**SETTINGS, "refinement": "R3"},
    "cylinder3d without refinement": {**SETTINGS, "refinement": "none"},
    "minkunet": {"architecture": "minkunet", **_CUBES},
    "spvcnn": {"architecture": "spvcnn", **_CUBES},
    "spvnas": {"architecture": "spvcnn", "plan": _PLAN, "grid": _CUBES["grid"]},
}


def program_network(name, **settings):
    """In evaluation mode, with random weights and statistics, the same each time; `settings` replace its own."""
    torch.manual_seed(0)
    model = build_model({**NETWORKS[name], **settings}).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    return model


def random_cloud(num_points=2000, seed=0):
    generator = np.random.default_rng(seed)
    cloud = generator.uniform((-30, -30, -2, 0), (30, 30, 2, 1), (num_points, 4)).astype(np.float32)
    cloud[::50, :3] = 0
    cloud[7::90, 1] = np.nan
    cloud[11::90, 3] = np.inf
    cloud[13::90, 0] = 2e4
    return cloud
