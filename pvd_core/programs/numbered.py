"""Numbers the occupied cells of a grid without waiting for the device: lengths do not depend on how many there are.

On small grids cells are marked in a table and the marks counted. On large ones their keys are sorted; `unique` is no
help, as only the device knows the length of its result. C cells, N keys (repeats allowed), V rows.
"""

from dataclasses import dataclass
from typing import Protocol

import torch

from pvd_core.programs.cells import PaddedGrid
from pvd_core.sparse.site_index import MOST_TABLE_CELLS


class NumberedCells(Protocol):
    """The occupied cells in the order of their keys, a row each. The last row is always padding."""

    @property
    def keys_V(self) -> torch.Tensor:
        """int64, the padding key for rows without a cell."""
        ...

    @property
    def num_cells(self) -> torch.Tensor:
        """int64 scalar, number of occupied cells, with those that did not fit."""
        ...

    def find(self, keys: torch.Tensor) -> torch.Tensor:
        """Row of each key, int32 of any shape; -1 for padding, for empty cells and for those that did not fit."""
        ...


@dataclass(frozen=True)
class MarkedCells:
    """NumberedCells in a table of all cells."""

    rows_C: torch.Tensor  # int32, row of each cell; -1 for empty cells and for those that did not fit
    keys_V: torch.Tensor
    num_cells: torch.Tensor

    @staticmethod
    def of(keys_N: torch.Tensor, grid: PaddedGrid, num_rows: int) -> "MarkedCells":
        """As `number_cells`."""
        is_full_C = torch.zeros(grid.length, dtype=torch.bool, device=keys_N.device)
        is_full_C.index_fill_(0, keys_N, True)
        is_full_C[grid.num_cells :].zero_()
        count_C = is_full_C.cumsum(0, dtype=torch.int32)
        rows_C = torch.where(is_full_C & (count_C < num_rows), count_C - 1, -1)
        keys_V = torch.full((num_rows,), grid.padding_key, dtype=torch.int64, device=keys_N.device)
        marked = MarkedCells(rows_C, keys_V, count_C[-1].long())
        # Keys that share a row write the same number.
        keys_V.scatter_(0, rows_of(marked, keys_N), keys_N)
        keys_V[-1:].fill_(grid.padding_key)
        return marked

    def find(self, keys: torch.Tensor) -> torch.Tensor:
        """As NumberedCells.find."""
        return torch.take(self.rows_C, keys)


@dataclass(frozen=True)
class SortedKeys:
    """NumberedCells that are searched for by their keys, which ascend."""

    grid: PaddedGrid
    keys_V: torch.Tensor
    num_cells: torch.Tensor

    @staticmethod
    def of(keys_N: torch.Tensor, grid: PaddedGrid, num_rows: int) -> "SortedKeys":
        """As `number_cells`."""
        # A key before all others, so that the first one is new too, if there is one.
        keys_N = torch.nn.functional.pad(keys_N.sort().values, (1, 0), value=-1)
        is_real_N = grid.is_real(keys_N[1:])
        is_new_N = (keys_N.diff() > 0) & is_real_N
        row_N = torch.where(is_real_N, is_new_N.cumsum(0) - 1, num_rows)
        keys_V = torch.full((num_rows,), grid.padding_key, dtype=torch.int64, device=keys_N.device)
        # Repeats write what the first of them wrote. The last row takes padding and what does not fit, and is cleared.
        keys_V.scatter_(0, row_N.clamp(max=num_rows - 1), keys_N[1:])
        keys_V[-1:].fill_(grid.padding_key)
        return SortedKeys(grid, keys_V, is_new_N.sum())

    def find(self, keys: torch.Tensor) -> torch.Tensor:
        """As NumberedCells.find."""
        rows = torch.searchsorted(self.keys_V, keys).clamp_(max=len(self.keys_V) - 1)
        return torch.where((torch.take(self.keys_V, rows) == keys) & self.grid.is_real(keys), rows, -1).int()


def number_cells(keys_N: torch.Tensor, grid: PaddedGrid, num_rows: int) -> NumberedCells:
    """NumberedCells of the cells with `keys_N` (padding allowed). At most `num_rows` - 1 cells fit: those with the
    smallest keys."""
    return (MarkedCells if grid.length <= MOST_TABLE_CELLS else SortedKeys).of(keys_N, grid, num_rows)


def rows_of(cells: NumberedCells, keys_N: torch.Tensor) -> torch.Tensor:
    """Row of each key, int64 (N,); the last row for padding, and for cells that did not fit."""
    rows_N = cells.find(keys_N)
    return torch.where(rows_N >= 0, rows_N, len(cells.keys_V) - 1).long()
