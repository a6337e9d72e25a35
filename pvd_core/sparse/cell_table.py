"""Which site lies in which cell of a bounded grid: a dense table, which replaces a hash. V sites, N cells."""

import functools
import math

import torch

from pvd_core.sparse.cell_keys import bordered_keys, keys_reached, lies_inside
from pvd_core.sparse.interfaces import Triple
from pvd_core.sparse.tap_rows import LENGTH

_ONE = (1, 1, 1)


class CellTable:
    """Looks up sites by their cells. The table is made at the first look-up and takes 4 bytes a cell and scan: 24 MB
    for a scan on 480 x 360 x 32 cells. A border of one empty cell on each side makes bounds checks unnecessary."""

    def __init__(self, coords_V4: torch.Tensor, shape: Triple, batch_size: int) -> None:
        """`coords_V4` int64 (V, 4): scan, then three indices inside `shape`; distinct, sorted."""
        self._coords_V4 = coords_V4
        self._shape = shape
        self._batch_size = batch_size

    def look_up(self, centres_V4: torch.Tensor, stride: Triple) -> torch.Tensor:
        """The sites in the 27 cells around each `centres * stride`, as tap rows (pvd_core/sparse/tap_rows.py), int32
        (9, V)."""
        _, size_1, size_2 = (size + 2 for size in self._shape)
        lowest_V = bordered_keys(centres_V4, self._shape, stride, 0)
        result_JV = self._rows.new_empty(9, len(centres_V4))
        for number, row_V in enumerate(result_JV):
            i, j = divmod(number, 3)
            # A view that starts later shifts all keys at no cost.
            torch.index_select(self._rows[(i * size_1 + j) * size_2 :], 0, lowest_V, out=row_V)
        return result_JV

    def find(self, coords_N4: torch.Tensor) -> torch.Tensor:
        """The site in each cell, int64 (N,); -1 where there is none. Cells may lie outside the grid."""
        keys_N = bordered_keys(coords_N4, self._shape, _ONE, 1)
        is_inside_N = lies_inside(coords_N4, self._shape, self._batch_size)
        rows_N = self._rows.index_select(0, torch.where(is_inside_N, keys_N, 0)).long()
        return torch.where(rows_N & 1 > 0, rows_N >> 3, -1)

    def coarse_coords(self, stride: Triple, shape: Triple) -> torch.Tensor:
        """The coarse sites, int64 (V, 4), sorted, of a 3x3x3 convolution with `stride` and padding 1 onto cells of
        `shape`: those with at least one site in their receptive field."""
        is_active = torch.zeros(self._batch_size, *shape, dtype=torch.bool, device=self._coords_V4.device)
        for key_V in keys_reached(self._coords_V4, stride, shape):
            is_active.view(-1).index_fill_(0, key_V, True)
        return is_active.nonzero()

    @functools.cached_property
    def _rows(self) -> torch.Tensor:
        """For each cell the tap row of that cell and the two above it. Key 0 is a cell of the border."""
        num_cells = self._batch_size * math.prod(size + 2 for size in self._shape)
        rows = torch.zeros(max(num_cells, 1), dtype=torch.int32, device=self._coords_V4.device)
        keys_V = bordered_keys(self._coords_V4, self._shape, _ONE, 1)
        numbers_V = torch.arange(len(keys_V), dtype=torch.int32, device=rows.device) * 8
        # The highest tap first: the number that is written last, that of the lowest site, stays.
        for tap in reversed(range(LENGTH)):
            cells_V = keys_V - tap
            bits_V = rows.index_select(0, cells_V) & 7 | 1 << tap
            rows.scatter_(0, cells_V, numbers_V + bits_V)
        return rows
