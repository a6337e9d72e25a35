"""A grid of trainings of tiny networks on a tiny data set."""

import yaml
from tiny_dataset import TINY_MODEL

from training.ablation.grid import merged

TINY_GRID = {
    "name": "tiny",
    "title": "A tiny grid",
    "settings": {
        "model": TINY_MODEL,
        "max_steps": 3,
        "epochs": None,
        "batch_size": 1,
        "num_threads": 1,
        "precision": "auto",
        "checkpoint_every_steps": 2,
        "validation": {"every_steps": 0},
    },
    "teacher": {"settings": {"model": {"width": 6}}},
    "methods": {"pvd": {"supervoxel_size": [6, 6, 4]}},
    "reference": "student",
    "is_table_of_methods": True,
    "seeds": [0, 1],
    "rows": [
        {"name": "teacher", "shows": "teacher", "paper": {"SPVNAS": 63.8}},
        {"name": "student"},
        {"name": "pvd", "label": "PVD", "distillation": {"method": "pvd"}, "paper": {"SPVNAS": 63.8}},
    ],
}


def grid_file(folder, **changes):
    """TINY_GRID with changes, as a file in `folder`."""
    path = folder / "grid.yaml"
    path.write_text(yaml.safe_dump(merged(TINY_GRID, changes)))
    return path


def command(grid, dataset, out, *options):
    """Arguments of `pvd`."""
    return ["ablate", str(grid), "--data", str(dataset), "--out", str(out), *options]
