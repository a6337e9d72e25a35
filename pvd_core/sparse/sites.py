"""Active sites of one resolution and the kernel maps that start from them.

V sites, K kernel taps, M pairs. Every kernel of the networks is a subset of the 27 neighbours of a site, and the grid
is bounded, so one dense lookup table a level replaces hashing. The table has a border of one empty cell: neighbours
never need a bounds check.
"""

import itertools

import torch

from pvd_core.sparse.backends import reference
from pvd_core.sparse.kernel_map import KernelMap

_NUM_NEIGHBOURS = 27


class Sites:
    """`coords_V4` int64 (V, 4): scan, then three indices inside `shape`; distinct, sorted. Maps are built once and
    kept, so layers (and encoder and decoder) that share a level share them. `backend` computes the convolutions, and
    builds the maps where it has functions of its own for that."""

    def __init__(self, coords_V4, shape, batch_size, backend=reference):
        self.coords_V4 = coords_V4
        self.shape = tuple(shape)
        self.batch_size = batch_size
        self.backend = backend
        self._neighbours_KV = None
        self._table = None
        self._submanifold_maps = {}
        self._downsampled = {}

    @property
    def num_sites(self):
        return self.coords_V4.shape[0]

    def submanifold_map(self, kernel):
        """KernelMap of a stride-1 convolution whose outputs are these same sites. Kernel sizes 1 or 3."""
        if kernel not in self._submanifold_maps:
            build = getattr(self.backend, "submanifold_map", Sites._build_submanifold_map)
            self._submanifold_maps[kernel] = build(self, kernel)
        return self._submanifold_maps[kernel]

    def downsampled(self, stride):
        """(coarse Sites, KernelMap to them) of a 3x3x3 convolution with `stride` (1 or 2 an axis) and padding 1.
        A coarse site exists where at least one fine site lies in its receptive field."""
        if stride not in self._downsampled:
            build = getattr(self.backend, "downsampled", Sites._build_downsampled)
            coords_V4, shape, kernel_map = build(self, stride)
            self._downsampled[stride] = Sites(coords_V4, shape, self.batch_size, self.backend), kernel_map
        return self._downsampled[stride]

    def _build_submanifold_map(self, kernel):
        if self._neighbours_KV is None:
            self._neighbours_KV = self._look_up(self.coords_V4, (1, 1, 1))
        taps = [i for i, offset in enumerate(_offsets((3, 3, 3))) if _is_inside(offset, kernel)]
        table_KV = self._neighbours_KV if len(taps) == _NUM_NEIGHBOURS else self._neighbours_KV[taps]
        return KernelMap.from_table(table_KV, self.num_sites)

    def _build_downsampled(self, stride):
        """(coords_V4, shape, KernelMap) of the coarse sites."""
        coords_V4, shape = self._coarse_sites(stride)
        return coords_V4, shape, KernelMap.from_table(self._look_up(coords_V4, stride), self.num_sites)

    def _look_up(self, centres_V4, stride):
        """Site numbers around `centres * stride`, int32 (27, V), -1 where there is none; taps row-major."""
        if self._table is None:
            padded = [size + 2 for size in self.shape]
            num_cells = self.batch_size * padded[0] * padded[1] * padded[2]
            self._table = torch.full((num_cells,), -1, dtype=torch.int32, device=self.coords_V4.device)
            self._table[self._padded_keys(self.coords_V4, (1, 1, 1))] = torch.arange(
                self.num_sites, dtype=torch.int32, device=self.coords_V4.device
            )
        keys_V = self._padded_keys(centres_V4, stride)
        _, size_1, size_2 = (size + 2 for size in self.shape)
        return torch.stack([self._table[keys_V + ((i * size_1 + j) * size_2 + k)] for i, j, k in _offsets((3, 3, 3))])

    def _padded_keys(self, coords_V4, stride):
        keys_V = coords_V4[:, 0]
        for axis, size in enumerate(self.shape):
            keys_V = keys_V * (size + 2) + coords_V4[:, axis + 1] * stride[axis] + 1
        return keys_V

    def _coarse_sites(self, stride):
        shape = tuple((size - 1) // step + 1 for size, step in zip(self.shape, stride, strict=True))
        # Candidates along an axis: o with i = o * step + tap - 1 for a tap 0..2.
        candidates = []
        for axis, (step, size) in enumerate(zip(stride, shape, strict=True)):
            fine_V = self.coords_V4[:, axis + 1]
            shifts = (-1, 0, 1) if step == 1 else (0, 1)
            columns = [torch.div(fine_V + shift, step, rounding_mode="floor") for shift in shifts]
            candidates.append([column.clamp(0, size - 1) for column in columns])
        is_active = torch.zeros(
            self.batch_size * shape[0] * shape[1] * shape[2], dtype=torch.bool, device=self.coords_V4.device
        )
        for first_V, second_V, third_V in itertools.product(*candidates):
            keys_V = ((self.coords_V4[:, 0] * shape[0] + first_V) * shape[1] + second_V) * shape[2] + third_V
            is_active[keys_V] = True
        keys_V = is_active.nonzero().squeeze(1)
        columns = []
        for size in reversed(shape):
            columns.append(keys_V % size)
            keys_V = torch.div(keys_V, size, rounding_mode="floor")
        return torch.stack((keys_V, *reversed(columns)), dim=1), shape


def _offsets(kernel):
    """Tap offsets -1..1 (or 0 on axes of size 1), row-major."""
    ranges = [range(-(size // 2), size // 2 + 1) for size in kernel]
    return list(itertools.product(*ranges))


def _is_inside(offset, kernel):
    return all(abs(step) <= size // 2 for step, size in zip(offset, kernel, strict=True))
