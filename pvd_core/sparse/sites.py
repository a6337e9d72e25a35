"""Active sites of one resolution and the kernel maps that start from them.

V sites, N cells. Kernels of stride 1 are subsets of the 27 neighbours of a site, so one look-up a level serves all.
"""

import functools
import itertools
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, TypeVar, cast

import torch

from pvd_core.sparse.backends import reference
from pvd_core.sparse.blocks import Blocks
from pvd_core.sparse.cell_keys import cell_keys, check_size, reached_cells
from pvd_core.sparse.interfaces import AnyMap, Backend, Triple
from pvd_core.sparse.kernel_map import KernelMap
from pvd_core.sparse.site_index import SiteIndex, site_index
from pvd_core.sparse.tap_rows import LENGTH

_T = TypeVar("_T")
_ONE = (1, 1, 1)
_NEIGHBOURHOOD = (3, 3, 3)
_NUM_TAPS = 27


class Sites:
    """The active sites of one level. Kernel maps are built once and kept, so all layers of a level share them, those of
    encoder and decoder too."""

    def __init__(
        self,
        coords_V4: torch.Tensor,
        shape: Sequence[int],
        batch_size: int,
        backend: Backend = reference,
        scale: Triple = _ONE,
    ) -> None:
        """`coords_V4` int64 (V, 4): scan, then three indices inside `shape`; distinct, sorted. `backend` computes the
        convolutions, and builds the kernel maps if it has functions of its own for that. `scale`: how many cells of the
        finest level a cell spans along each axis. UserError for more sites or cells than can be numbered."""
        self.coords_V4 = coords_V4
        self.shape = cast(Triple, tuple(shape))
        self.batch_size = batch_size
        check_size(self.num_sites, self.shape, batch_size)
        self.backend = backend
        self.scale = scale
        # By (kernel, stride). Coarse sites of stride 1 are not kept, as they would be a reference to these sites.
        self._maps: dict[tuple[Triple, Triple], AnyMap] = {}
        self._coarse: dict[tuple[Triple, Triple], Sites] = {}
        self._cache: dict[Hashable, Any] = {}

    @property
    def num_sites(self) -> int:
        return self.coords_V4.shape[0]

    def map(self, kernel: Triple, stride: Triple = _ONE) -> AnyMap:
        """The map of a convolution, a KernelMap unless the backend builds its own. With stride 1 the output sites are
        these sites, and kernel sizes are 1 or 3. Else they are `coarse(kernel, stride)`."""
        if (kernel, stride) not in self._maps:
            self._build(kernel, stride)
        return self._maps[kernel, stride]

    def coarse(self, kernel: Triple, stride: Triple) -> "Sites":
        """The output sites of `map(kernel, stride)`. A convolution whose `kernel` is its `stride` (sizes 1 or 2) has no
        padding, and one wherever at least one fine site lies in its block of cells. A 3x3x3 convolution with `stride`
        (1 or 2 an axis) has padding 1, and one wherever at least one fine site lies in its receptive field."""
        if stride == _ONE:
            return self
        if (kernel, stride) not in self._coarse:
            self._build(kernel, stride)
        return self._coarse[kernel, stride]

    def find(self, coords_N4: torch.Tensor) -> torch.Tensor:
        """The site in each cell (scan, then three indices), int64 (N,); -1 where there is none or the cell lies outside
        the grid."""
        if self._order_V is None:
            return self._cells.find(coords_N4)
        rows_N = self._cells.find(coords_N4)
        return torch.where(rows_N >= 0, self._order_V[rows_N], -1)

    def cached(self, key: Hashable, build: Callable[[], _T]) -> _T:
        """As AnySites.cached."""
        if key not in self._cache:
            self._cache[key] = build()
        return self._cache[key]

    def _build(self, kernel: Triple, stride: Triple) -> None:
        build_map = getattr(self.backend, "build_map", None)
        if build_map is not None:
            coords_V4, shape, kernel_map = build_map(self, kernel, stride)
            if stride != _ONE:
                self._coarse[kernel, stride] = self._coarser(coords_V4, shape, stride)
        elif stride == _ONE:
            kernel_map = self._submanifold_map(kernel)
        elif kernel == stride:
            blocks = getattr(self.backend, "blocks", Blocks.of)(self.coords_V4, stride, self._coarse_shape(stride))
            self._coarse[kernel, stride] = self._coarser(blocks.coarse_C4, self._coarse_shape(stride), stride)
            kernel_map = self._map_of(blocks)
        else:
            find_cells = getattr(self._cells, "coarse_coords", functools.partial(reached_cells, self.coords_V4))
            shape = self._coarse_shape(stride)
            coarse = self._coarse[kernel, stride] = self._coarser(find_cells(stride, shape), shape, stride)
            kernel_map = self._map_to(coarse, stride)
        self._maps[kernel, stride] = kernel_map

    @functools.cached_property
    def _order_V(self) -> torch.Tensor | None:
        """The sites sorted, for a backend that builds its own maps may keep them in another order; else None."""
        return cell_keys(self.coords_V4, self.shape).argsort() if hasattr(self.backend, "build_map") else None

    @functools.cached_property
    def _cells(self) -> SiteIndex:
        build = getattr(self.backend, "site_index", site_index)
        coords_V4 = self.coords_V4 if self._order_V is None else self.coords_V4[self._order_V]
        return build(coords_V4, self.shape, self.batch_size)

    def _submanifold_map(self, kernel: Triple) -> KernelMap:
        if kernel == _NEIGHBOURHOOD:
            # The map refers to the cells, not to these sites, which refer to the map: no cycle keeps their memory.
            look_up = functools.partial(self._cells.look_up, self.coords_V4, (1, 1, 1))
            return KernelMap(_NUM_TAPS, self.num_sites, self.num_sites, look_up, LENGTH, is_symmetric=True)
        whole = cast(KernelMap, self.map(_NEIGHBOURHOOD))
        rows = [row for row, offset in enumerate(_row_offsets()) if _is_inside(offset, kernel[:2])]
        return whole.subset(rows, takes_middle=kernel[2] == 1)

    def _coarse_shape(self, stride: Triple) -> Triple:
        return cast(Triple, tuple((size - 1) // step + 1 for size, step in zip(self.shape, stride, strict=True)))

    def _coarser(self, coords_V4: torch.Tensor, shape: Sequence[int], stride: Triple) -> "Sites":
        scale = cast(Triple, tuple(size * step for size, step in zip(self.scale, stride, strict=True)))
        return Sites(coords_V4, shape, self.batch_size, self.backend, scale)

    def _map_of(self, blocks: Blocks) -> KernelMap:
        num_coarse = len(blocks.coarse_C4)
        find_rows, find_back = blocks.tap_rows, blocks.tap_rows_back
        return KernelMap(blocks.num_taps, self.num_sites, num_coarse, find_rows, 1, find_back=find_back)

    def _map_to(self, coarse: "Sites", stride: Triple) -> KernelMap:
        look_up = functools.partial(self._cells.look_up, coarse.coords_V4, stride)
        look_back = getattr(coarse._cells, "look_back", None)
        find_back = functools.partial(look_back, self.coords_V4, stride) if look_back else None
        return KernelMap(_NUM_TAPS, self.num_sites, coarse.num_sites, look_up, LENGTH, find_back=find_back)


def _row_offsets() -> Iterator[tuple[int, int]]:
    """(rho, phi) offsets -1..1 of the rows of taps."""
    return itertools.product(range(-1, 2), range(-1, 2))


def _is_inside(offset: Sequence[int], kernel: Sequence[int]) -> bool:
    return all(abs(step) <= size // 2 for step, size in zip(offset, kernel, strict=True))
