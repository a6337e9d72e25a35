"""Active sites of one resolution and the kernel maps that start from them.

V sites. Every kernel of the networks is a subset of the 27 neighbours of a site, so one look-up a level serves all.
"""

import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch

from pvd_core.sparse.backends import reference
from pvd_core.sparse.cell_table import CellTable
from pvd_core.sparse.interfaces import AnyMap, Backend, Triple
from pvd_core.sparse.kernel_map import KernelMap
from pvd_core.sparse.tap_rows import LENGTH

_NEIGHBOURHOOD = (3, 3, 3)
_NUM_TAPS = 27


class Sites:
    """The active sites of one level. Kernel maps are built once and kept, so all layers of a level share them, those of
    encoder and decoder too."""

    def __init__(
        self, coords_V4: torch.Tensor, shape: Sequence[int], batch_size: int, backend: Backend = reference
    ) -> None:
        """`coords_V4` int64 (V, 4): scan, then three indices inside `shape`; distinct, sorted. `backend` computes the
        convolutions, and builds the kernel maps if it has functions of its own for that."""
        self.coords_V4 = coords_V4
        self.shape = cast(Triple, tuple(shape))
        self.batch_size = batch_size
        self.backend = backend
        self._submanifold_maps: dict[Triple, AnyMap] = {}
        self._downsampled: dict[Triple, tuple[Sites, AnyMap]] = {}

    @property
    def num_sites(self) -> int:
        return self.coords_V4.shape[0]

    def submanifold_map(self, kernel: Triple) -> AnyMap:
        """The map of a convolution with stride 1 whose output sites are these sites; a KernelMap unless the backend
        builds its own. Kernel sizes are 1 or 3."""
        if kernel not in self._submanifold_maps:
            build = getattr(self.backend, "submanifold_map", Sites._build_submanifold_map)
            self._submanifold_maps[kernel] = build(self, kernel)
        return self._submanifold_maps[kernel]

    def downsampled(self, stride: Triple) -> "tuple[Sites, AnyMap]":
        """(coarse Sites, map to them) of a 3x3x3 convolution with `stride` (1 or 2 an axis) and padding 1.
        A coarse site exists where at least one fine site lies in its receptive field."""
        if stride not in self._downsampled:
            build = getattr(self.backend, "downsampled", None)
            if build is None:
                coarse = self._coarse_sites(stride)
                self._downsampled[stride] = coarse, self._map_to(coarse, stride)
            else:
                coords_V4, shape, kernel_map = build(self, stride)
                self._downsampled[stride] = Sites(coords_V4, shape, self.batch_size, self.backend), kernel_map
        return self._downsampled[stride]

    @functools.cached_property
    def _cells(self) -> Any:
        return getattr(self.backend, "cell_table", CellTable)(self.coords_V4, self.shape, self.batch_size)

    def _build_submanifold_map(self, kernel: Triple) -> KernelMap:
        if kernel == _NEIGHBOURHOOD:
            # The map refers to the cells, not to these sites, which refer to the map: no cycle keeps their memory.
            look_up = functools.partial(self._cells.look_up, self.coords_V4, (1, 1, 1))
            return KernelMap(_NUM_TAPS, self.num_sites, self.num_sites, look_up, LENGTH, is_symmetric=True)
        whole = cast(KernelMap, self.submanifold_map(_NEIGHBOURHOOD))
        rows = [row for row, offset in enumerate(_row_offsets()) if _is_inside(offset, kernel[:2])]
        return whole.subset(rows, takes_middle=kernel[2] == 1)

    def _coarse_sites(self, stride: Triple) -> "Sites":
        shape = cast(Triple, tuple((size - 1) // step + 1 for size, step in zip(self.shape, stride, strict=True)))
        return Sites(self._cells.coarse_coords(stride, shape), shape, self.batch_size, self.backend)

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
