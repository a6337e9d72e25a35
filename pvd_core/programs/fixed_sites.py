"""Sites with room for a fixed number of rows: what `pvd_core.sparse.Sites` is where shapes may not depend on the cloud.

V rows of a level, K kernel taps. The last row of a level is always padding, so a level holds V - 1 sites.
"""

import torch

from pvd_core.programs.cells import PaddedGrid, centre_keys, coarse_keys, number_cells
from pvd_core.sparse.kernel_map import KernelMap


class FixedSites:
    """Stands in for Sites in a network: padding rows find no neighbours and are nobody's neighbour.

    `num_rows` gives the rows of this level and of each coarser one. A level with more sites than rows drops the last of
    them; `num_sites_a_level` then says so, and the results must not be used."""

    def __init__(self, keys_N, shape, num_rows, backend):
        """`keys_N`: keys in PaddedGrid(shape) of what lies in the sites, repeats and padding allowed."""
        self.shape = tuple(shape)
        self.backend = backend
        self.num_sites = num_rows[0]
        self._num_rows = num_rows
        self._grid = PaddedGrid(self.shape)
        self._cells = number_cells(keys_N, self._grid, num_rows[0])
        self._neighbours = None
        self._submanifold_maps = {}
        self._downsampled = {}

    def rows(self, keys_N):
        """The row of each key, int64; the last one for padding."""
        return self._cells.rows(keys_N)

    def num_sites_a_level(self):
        """Sites that this level and the coarser ones made so far want: a list of int64 scalars on the device."""
        coarser = [sites.num_sites_a_level() for sites, _ in self._downsampled.values()]
        return [self._cells.num_cells, *(coarser[0] if coarser else [])]

    def submanifold_map(self, kernel):
        if kernel not in self._submanifold_maps:
            if self._neighbours is None:
                self._neighbours = self._look_up(self._cells.keys_V).view(3, 3, 3, -1)
            # Slices, because a list of taps would have to be copied to the device.
            parts = tuple(slice(None) if size == 3 else slice(1, 2) for size in kernel)
            table_KV = self._neighbours[parts].reshape(-1, self.num_sites).contiguous()
            self._submanifold_maps[kernel] = KernelMap.from_table(table_KV, self.num_sites)
        return self._submanifold_maps[kernel]

    def downsampled(self, stride):
        """(coarse FixedSites, KernelMap to them), as Sites.downsampled."""
        if stride not in self._downsampled:
            shape = tuple((size - 1) // step + 1 for size, step in zip(self.shape, stride, strict=True))
            grid, keys_V = PaddedGrid(shape), self._cells.keys_V
            coarse = FixedSites(coarse_keys(self._grid, keys_V, grid, stride), shape, self._num_rows[1:], self.backend)
            table_KV = self._look_up(centre_keys(grid, coarse._cells.keys_V, self._grid, stride))
            self._downsampled[stride] = coarse, KernelMap.from_table(table_KV, self.num_sites)
        return self._downsampled[stride]

    def _look_up(self, centres_V):
        """Rows around each centre, int32 (27, V), -1 where there is none."""
        return torch.take(self._cells.rows_C, self._grid.neighbours(centres_V))
