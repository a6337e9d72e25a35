"""Sites with a fixed number of rows, in place of `pvd_core.sparse.Sites` where shapes must not depend on the cloud.

V rows of a level, K kernel taps, N keys or cells. The last row of a level is always padding, so a level holds at most
V - 1 sites.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar, cast

import torch

from pvd_core.programs.cells import PaddedGrid, block_keys, centre_keys, coarse_keys, taps_in_block
from pvd_core.programs.numbered import number_cells, rows_of
from pvd_core.sparse.cell_keys import lies_inside
from pvd_core.sparse.interfaces import Backend, Triple
from pvd_core.sparse.kernel_map import KernelMap

_T = TypeVar("_T")
_ONE = (1, 1, 1)


class FixedSites:
    """What a network uses in place of Sites. Padding rows have no neighbours and are no row's neighbour.

    A level with more sites than fit drops those with the largest keys. `num_sites_a_level` tells, and then the results
    must not be used."""

    def __init__(self, keys_N: torch.Tensor, shape: Triple, num_rows: Sequence[int], backend: Backend) -> None:
        """`keys_N`: keys in PaddedGrid(shape) of what lies in the sites, int64; repeats and padding allowed.
        `num_rows`: the rows of this level and of each coarser one."""
        self.shape = shape
        self.backend = backend
        self.num_sites = num_rows[0]
        self._num_rows = num_rows
        self._grid = PaddedGrid(self.shape)
        self._cells = number_cells(keys_N, self._grid, num_rows[0])
        self._neighbours: torch.Tensor | None = None
        self._maps: dict[tuple[Triple, Triple], KernelMap] = {}
        self._coarse: dict[tuple[Triple, Triple], FixedSites] = {}
        self._cache: dict[Hashable, Any] = {}

    @property
    def coords_V4(self) -> torch.Tensor:
        """As AnySites; there is one scan, 0, and padding rows are no site."""
        keys_V = self._cells.keys_V
        scan_V = self._grid.is_real(keys_V).long() - 1
        return torch.stack((scan_V, *self._grid.columns(keys_V)), dim=1)

    def rows(self, keys_N: torch.Tensor) -> torch.Tensor:
        """The row of each key, int64 (N,); the last one for padding."""
        return rows_of(self._cells, keys_N)

    def num_sites_a_level(self) -> list[torch.Tensor]:
        """Number of sites, with those that did not fit, of this level and the coarser ones made so far: int64 scalars
        on the device."""
        coarser = [sites.num_sites_a_level() for sites in self._coarse.values()]
        return [self._cells.num_cells, *(coarser[0] if coarser else [])]

    def map(self, kernel: Triple, stride: Triple = _ONE) -> KernelMap:
        """As Sites.map."""
        if (kernel, stride) not in self._maps:
            if stride == _ONE:
                table_KV = self._table(kernel)
            elif kernel == stride:
                table_KV = self._table_of_blocks(self.coarse(kernel, stride), stride)
            else:
                table_KV = self._table_to(self.coarse(kernel, stride), stride)
            self._maps[kernel, stride] = KernelMap.from_table(table_KV, self.num_sites)
        return self._maps[kernel, stride]

    def coarse(self, kernel: Triple, stride: Triple) -> "FixedSites":
        """As Sites.coarse."""
        if stride == _ONE:
            return self
        if (kernel, stride) not in self._coarse:
            if len(self._num_rows) == 1:
                raise ValueError("the network has a coarser level than its strides say: there is no room for its sites")
            shape = cast(Triple, tuple((size - 1) // step + 1 for size, step in zip(self.shape, stride, strict=True)))
            keys_of = block_keys if kernel == stride else coarse_keys
            keys_N = keys_of(self._grid, self._cells.keys_V, PaddedGrid(shape), stride)
            self._coarse[kernel, stride] = FixedSites(keys_N, shape, self._num_rows[1:], self.backend)
        return self._coarse[kernel, stride]

    def find(self, coords_N4: torch.Tensor) -> torch.Tensor:
        """As Sites.find; there is one scan, 0."""
        keys_N = self._grid.keys(coords_N4.unbind(1)[1:], lies_inside(coords_N4, self.shape, batch_size=1))
        return self._cells.find(keys_N).long()

    def cached(self, key: Hashable, build: Callable[[], _T]) -> _T:
        """As AnySites.cached."""
        if key not in self._cache:
            self._cache[key] = build()
        return self._cache[key]

    def _table(self, kernel: Triple) -> torch.Tensor:
        if self._neighbours is None:
            self._neighbours = self._look_up(self._cells.keys_V).view(3, 3, 3, -1)
        # Slices, because a list of taps would be copied to the device, and that waits for it.
        parts = tuple(slice(None) if size == 3 else slice(1, 2) for size in kernel)
        return self._neighbours[parts].reshape(-1, self.num_sites).contiguous()

    def _table_to(self, coarse: "FixedSites", stride: Triple) -> torch.Tensor:
        return self._look_up(centre_keys(coarse._grid, coarse._cells.keys_V, self._grid, stride))

    def _table_of_blocks(self, coarse: "FixedSites", stride: Triple) -> torch.Tensor:
        keys_V = self._cells.keys_V
        columns_V = coarse.rows(block_keys(self._grid, keys_V, coarse._grid, stride))
        taps_V = taps_in_block(self._grid, keys_V, stride)
        rows_V = torch.arange(self.num_sites, dtype=torch.int32, device=keys_V.device)
        table_KV = rows_V.new_full((math.prod(stride), coarse.num_sites), -1)
        table_KV.view(-1).scatter_(0, taps_V * coarse.num_sites + columns_V, rows_V)
        table_KV[:, -1:].fill_(-1)  # padding, and rows whose coarse cell did not fit
        return table_KV

    def _look_up(self, centres_V: torch.Tensor) -> torch.Tensor:
        """Rows around each centre, int32 (27, V), -1 where there is none."""
        return self._cells.find(self._grid.neighbours(centres_V))
