"""Which site lies in which cell of a bounded grid: one dense table instead of a hash. V sites."""

import functools
import itertools
import math

import torch


class CellTable:
    """Looks up sites by their cells. The table is made at the first look-up: 4 bytes a cell and scan, 24 MB for a scan
    on 480 x 360 x 32 cells. It has a border of one empty cell, so that neighbours never need a bounds check."""

    def __init__(self, coords_V4, shape, batch_size):
        self._coords_V4 = coords_V4
        self._sizes = [size + 2 for size in shape]
        self._batch_size = batch_size

    def look_up(self, centres_V4, stride):
        """Site numbers in the 27 cells around `centres * stride`, taps row-major: int32 (27, V), -1 where there is
        none."""
        _, size_1, size_2 = self._sizes
        lowest_V = self._keys(centres_V4, stride, 0)
        result_KV = self._numbers.new_empty(27, len(centres_V4))
        for row_V, (i, j, k) in zip(result_KV, itertools.product(range(3), repeat=3), strict=True):
            # A view that starts later shifts all keys at no cost.
            torch.index_select(self._numbers[(i * size_1 + j) * size_2 + k :], 0, lowest_V, out=row_V)
        return result_KV

    @functools.cached_property
    def _numbers(self):
        """Number of the site in each cell, int32, -1 where there is none."""
        num_cells = self._batch_size * math.prod(self._sizes)
        numbers = torch.full((num_cells,), -1, dtype=torch.int32, device=self._coords_V4.device)
        own_V = torch.arange(len(self._coords_V4), dtype=torch.int32, device=numbers.device)
        return numbers.scatter_(0, self._keys(self._coords_V4, (1, 1, 1), 1), own_V)

    def _keys(self, coords_V4, stride, shift):
        """Where cells at `coords * stride + shift` lie in the table; its border is at index 0."""
        keys_V = coords_V4[:, 0]
        for axis, size in enumerate(self._sizes):
            keys_V = keys_V * size + coords_V4[:, axis + 1] * stride[axis] + shift
        return keys_V
