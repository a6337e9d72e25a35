"""Cells of a small grid, chosen at random."""

import math

import torch


def random_coords(num_sites, shape, batch_size=2, generator=None):
    """Coordinates of sites, int64 (V, 4), sorted and distinct; of a generator with seed 0 where none is given."""
    generator = generator or torch.Generator().manual_seed(0)
    keys = torch.randperm(batch_size * math.prod(shape), generator=generator)[:num_sites].sort().values
    return torch.stack(torch.unravel_index(keys, (batch_size, *shape)), dim=1)
