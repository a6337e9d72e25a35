"""Keys of the cells of a grid, and of those around and above them, without waiting for the device.

N keys (repeats allowed), V rows.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch

from pvd_core.sparse.interfaces import Triple


@dataclass(frozen=True)
class PaddedGrid:
    """Keys of the cells of a grid. A border of one empty cell around the grid makes bounds checks for neighbours
    unnecessary. Behind the grid lie more empty cells: padding rows have their key there, and find no neighbours."""

    shape: Triple

    @property
    def sizes(self) -> Triple:
        """Shape of the grid with its border."""
        return cast(Triple, tuple(size + 2 for size in self.shape))

    @property
    def num_cells(self) -> int:
        """Number of cells of the grid with its border; keys of real cells are smaller."""
        return math.prod(self.sizes)

    @property
    def padding_key(self) -> int:
        return self.num_cells + self._reach

    @property
    def length(self) -> int:
        """Number of keys, those behind the grid included."""
        return self.num_cells + 2 * self._reach + 1

    @property
    def _reach(self) -> int:
        """Largest difference between the key of a neighbour and that of its cell."""
        _, size_1, size_2 = self.sizes
        return size_1 * size_2 + size_2 + 1

    def keys(self, columns: Sequence[torch.Tensor], is_real_N: torch.Tensor) -> torch.Tensor:
        """Keys, int64 (N,), from three int64 columns of indices inside `shape`; the padding key where `is_real_N` is
        false."""
        _, size_1, size_2 = self.sizes
        keys_N = ((columns[0] + 1) * size_1 + columns[1] + 1) * size_2 + columns[2] + 1
        return torch.where(is_real_N, keys_N, self.padding_key)

    def columns(self, keys_N: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Three int64 columns of indices; meaningless for padding."""
        _, size_1, size_2 = self.sizes
        first_N = torch.div(keys_N, size_1 * size_2, rounding_mode="floor") - 1
        second_N = torch.div(keys_N, size_2, rounding_mode="floor") % size_1 - 1
        return first_N, second_N, keys_N % size_2 - 1

    def is_real(self, keys_N: torch.Tensor) -> torch.Tensor:
        """bool (N,): False for padding."""
        return keys_N < self.num_cells

    def neighbours(self, keys_V: torch.Tensor) -> torch.Tensor:
        """Keys of the 27 cells around each, int64 (27, V), taps row-major."""
        _, size_1, size_2 = self.sizes
        # Computed on the device, because copying a list there would wait for it.
        step = torch.arange(-1, 2, device=keys_V.device)
        offsets = (step * (size_1 * size_2)).view(3, 1, 1) + (step * size_2).view(3, 1) + step
        return offsets.view(27, 1) + keys_V


def coarse_keys(grid: PaddedGrid, keys_V: torch.Tensor, coarse_grid: PaddedGrid, stride: Triple) -> torch.Tensor:
    """Keys in `coarse_grid` of all cells whose 3x3x3 receptive field with `stride` (1 or 2 an axis) and padding 1 holds
    a row of `keys_V`: int64 (8 to 27 times V,), repeats included."""
    candidates = []
    for fine_V, step, size in zip(grid.columns(keys_V), stride, coarse_grid.shape, strict=True):
        shifts = (-1, 0, 1) if step == 1 else (0, 1)
        shifted = (torch.div(fine_V + shift, step, rounding_mode="floor") for shift in shifts)
        candidates.append([column_V.clamp(0, size - 1) for column_V in shifted])
    is_real_V = grid.is_real(keys_V)
    return torch.cat([coarse_grid.keys(columns, is_real_V) for columns in itertools.product(*candidates)])


def block_keys(grid: PaddedGrid, keys_V: torch.Tensor, coarse_grid: PaddedGrid, stride: Triple) -> torch.Tensor:
    """For each row the key in `coarse_grid` of the block of `stride` cells that it lies in: int64 (V,)."""
    columns = [
        torch.div(column_V, step, rounding_mode="floor")
        for column_V, step in zip(grid.columns(keys_V), stride, strict=True)
    ]
    return coarse_grid.keys(columns, grid.is_real(keys_V))


def taps_in_block(grid: PaddedGrid, keys_V: torch.Tensor, stride: Triple) -> torch.Tensor:
    """The place of each row in its block of `stride` cells, row-major: int64 (V,); any place for padding."""
    taps_V = torch.zeros_like(keys_V)
    for column_V, step in zip(grid.columns(keys_V), stride, strict=True):
        taps_V = taps_V * step + column_V % step
    return taps_V


def centre_keys(coarse_grid: PaddedGrid, coarse_keys_V: torch.Tensor, grid: PaddedGrid, stride: Triple) -> torch.Tensor:
    """Keys in `grid` of the cells on which the receptive fields of coarse rows are centred, int64 (V,)."""
    columns = [column_V * step for column_V, step in zip(coarse_grid.columns(coarse_keys_V), stride, strict=True)]
    return grid.keys(columns, coarse_grid.is_real(coarse_keys_V))
