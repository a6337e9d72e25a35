"""Which site lies in which cell of a bounded grid: a dense table, which replaces a hash. V sites."""

import functools
import math

import torch

from pvd_core.sparse.interfaces import Triple
from pvd_core.sparse.tap_rows import LENGTH


class CellTable:
    """Looks up sites by their cells. The table is made at the first look-up and takes 4 bytes a cell and scan: 24 MB
    for a scan on 480 x 360 x 32 cells. A border of one empty cell on each side makes bounds checks unnecessary."""

    def __init__(self, coords_V4: torch.Tensor, shape: Triple, batch_size: int) -> None:
        """`coords_V4` int64 (V, 4): scan, then three indices inside `shape`; distinct, sorted."""
        self._coords_V4 = coords_V4
        self._sizes = [size + 2 for size in shape]
        self._batch_size = batch_size

    def look_up(self, centres_V4: torch.Tensor, stride: Triple) -> torch.Tensor:
        """The sites in the 27 cells around each `centres * stride`, as tap rows (pvd_core/sparse/tap_rows.py), int32
        (9, V)."""
        _, size_1, size_2 = self._sizes
        lowest_V = self._keys(centres_V4, stride, 0)
        result_JV = self._rows.new_empty(9, len(centres_V4))
        for number, row_V in enumerate(result_JV):
            i, j = divmod(number, 3)
            # A view that starts later shifts all keys at no cost.
            torch.index_select(self._rows[(i * size_1 + j) * size_2 :], 0, lowest_V, out=row_V)
        return result_JV

    def coarse_coords(self, stride: Triple, shape: Triple) -> torch.Tensor:
        """The coarse sites, int64 (V, 4), sorted, of a 3x3x3 convolution with `stride` and padding 1 onto cells of
        `shape`: those with at least one site in their receptive field."""
        is_active = torch.zeros(self._batch_size, *shape, dtype=torch.bool, device=self._coords_V4.device)
        keys = [self._coords_V4[:, 0]]
        for axis, (step, size) in enumerate(zip(stride, shape, strict=True)):
            # Output indices o that input index i reaches along an axis: i = o * step + tap - 1 for a tap 0, 1 or 2.
            fine_V = self._coords_V4[:, axis + 1]
            shifts = (-1, 0, 1) if step == 1 else (0, 1)
            candidates = [torch.div(fine_V + shift, step, rounding_mode="floor").clamp(0, size - 1) for shift in shifts]
            keys = [key_V * size + candidate_V for key_V in keys for candidate_V in candidates]
        for key_V in keys:
            is_active.view(-1).index_fill_(0, key_V, True)
        return is_active.nonzero()

    @functools.cached_property
    def _rows(self) -> torch.Tensor:
        """For each cell the tap row of that cell and the two above it."""
        num_cells = self._batch_size * math.prod(self._sizes)
        rows = torch.zeros(num_cells, dtype=torch.int32, device=self._coords_V4.device)
        keys_V = self._keys(self._coords_V4, (1, 1, 1), 1)
        numbers_V = torch.arange(len(keys_V), dtype=torch.int32, device=rows.device) * 8
        # The highest tap first: the number that is written last, that of the lowest site, stays.
        for tap in reversed(range(LENGTH)):
            cells_V = keys_V - tap
            bits_V = rows.index_select(0, cells_V) & 7 | 1 << tap
            rows.scatter_(0, cells_V, numbers_V + bits_V)
        return rows

    def _keys(self, coords_V4: torch.Tensor, stride: Triple, shift: int) -> torch.Tensor:
        """Where cells at `coords * stride + shift` lie in the table; its border is at index 0."""
        keys_V = coords_V4[:, 0]
        for axis, size in enumerate(self._sizes):
            keys_V = keys_V * size + coords_V4[:, axis + 1] * stride[axis] + shift
        return keys_V
