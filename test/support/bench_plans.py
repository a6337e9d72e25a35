"""What the benchmark's tests time: a tiny network and small clouds."""

import numpy as np
import torch

from pvd_cli.bench import Plan
from pvd_core.models import build_model

SETTINGS = {
    "width": 4,
    "num_point_features": 16,
    "point_mlp_widths": (16,),
    "refinement_widths": (16,),
    "grid": {"shape": (24, 18, 8)},
}
CPU = torch.device("cpu")


def scan_of(num_points, seed=0):
    generator = np.random.default_rng(seed)
    return generator.uniform((-20, -20, -2, 0), (20, 20, 1, 1), (num_points, 4)).astype(np.float32)


def tiny_network(**settings):
    torch.manual_seed(0)
    return build_model({**SETTINGS, **settings}).eval()


def plan_of(scans=None, **settings):
    return Plan(**{"networks": {"tiny": tiny_network()}, "scans": scans or {"a": scan_of(300)}, "device": CPU,
                   "threads": (1,), "runs": 3, **settings})  # fmt: skip
