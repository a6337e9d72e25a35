"""Chooses in which way sites are looked up by their cells. V sites."""

import math
from typing import Protocol

import torch

from pvd_core.sparse.cell_table import CellTable
from pvd_core.sparse.interfaces import Triple
from pvd_core.sparse.sorted_cells import SortedCells

# A table of as many cells takes 256 MB.
MOST_TABLE_CELLS = 1 << 26


class SiteIndex(Protocol):
    """Looks up sites by their cells; CellTable says what each function gives. It may also have:

    - `coarse_coords(stride, shape)`, if it is faster than `reached_cells` (pvd_core/sparse/cell_keys.py).
    - `look_back(cells_V4, stride)`, if it finds the way from coarse sites to fine ones.
    """

    def look_up(self, centres_V4: torch.Tensor, stride: Triple) -> torch.Tensor: ...

    def find(self, coords_N4: torch.Tensor) -> torch.Tensor: ...


def site_index(coords_V4: torch.Tensor, shape: Triple, batch_size: int) -> SiteIndex:
    """The index in plain torch of sites int64 (V, 4), sorted."""
    num_cells = batch_size * math.prod(size + 2 for size in shape)
    return (CellTable if num_cells <= MOST_TABLE_CELLS else SortedCells)(coords_V4, shape, batch_size)
