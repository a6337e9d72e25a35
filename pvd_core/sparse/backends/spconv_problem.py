"""A convolution in the terms of spconv and spconv-triton, and the map of a convolution for which they have none.

V sites, K taps, I input channels, O output channels.
"""

import math
from dataclasses import dataclass
from typing import Any, cast

import torch

from pvd_core.sparse.interfaces import Triple
from pvd_core.sparse.sites import Sites


@dataclass(frozen=True, eq=False)
class Problem:
    """A convolution and its input sites; `indices_V4` int32: scan, then grid indices inside `shape`."""

    indices_V4: torch.Tensor
    batch_size: int
    shape: Triple
    kernel: Triple
    stride: Triple
    is_submanifold: bool

    @staticmethod
    def of(sites: Sites, kernel: Triple, stride: Triple) -> "Problem":
        """The output sites are `sites` if the stride is 1."""
        shape = sites.shape
        if kernel == stride:  # spconv would leave out sites in blocks that reach beyond the grid
            shape = cast(Triple, tuple(-(-size // step) * step for size, step in zip(shape, stride, strict=True)))
        indices_V4 = sites.coords_V4.int().contiguous()
        return Problem(indices_V4, sites.batch_size, shape, kernel, stride, is_submanifold=stride == (1, 1, 1))

    @property
    def num_in(self) -> int:
        return self.indices_V4.shape[0]

    @property
    def num_taps(self) -> int:
        return math.prod(self.kernel)

    @property
    def out_shape(self) -> Triple:
        """Shape of the grid of the output sites."""
        if self.is_submanifold:
            return self.shape
        axes = zip(self.shape, self.kernel, self.stride, self._padding, strict=True)
        sizes = ((size + 2 * padding - taps) // step + 1 for size, taps, step, padding in axes)
        return cast(Triple, tuple(sizes))

    @property
    def needs_no_map(self) -> bool:
        """spconv fails where there are no sites, and makes no map for a kernel of one tap."""
        return self.num_in == 0 or self.num_taps == 1

    def arguments(self, algorithm: Any) -> tuple[Any, ...]:
        """The first arguments of `ops.get_indice_pairs` and `ops.get_indice_pairs_implicit_gemm`. `algorithm` is one of
        spconv's ConvAlgo."""
        sites = self.indices_V4, self.batch_size, list(self.shape)
        is_transposed = False
        return *sites, algorithm, *self._geometry, self.is_submanifold, is_transposed

    def weight(self, weight_OKI: torch.Tensor) -> torch.Tensor:
        """The weight with the axes of spconv's layers: (O, k0, k1, k2, I)."""
        return weight_OKI.view(weight_OKI.shape[0], *self.kernel, weight_OKI.shape[2])

    @property
    def _geometry(self) -> tuple[list[int], ...]:
        """Kernel, stride, padding, dilation, output padding."""
        return list(self.kernel), list(self.stride), self._padding, [1, 1, 1], [0, 0, 0]

    @property
    def _padding(self) -> list[int]:
        return [0 if self.kernel == self.stride else size // 2 for size in self.kernel]


@dataclass(frozen=True, eq=False)
class PlainMap:
    """The map of a convolution with one tap or without sites: each output row is its input row times one matrix."""

    problem: Problem

    @property
    def num_in(self) -> int:
        return self.problem.num_in

    @property
    def num_out(self) -> int:
        return self.problem.num_in

    @property
    def num_pairs_K(self) -> tuple[int, ...]:
        """Number of pairs of each tap."""
        return (self.num_in,) * self.problem.num_taps

    @property
    def transposed(self) -> "PlainMap":
        return self

    def convolve(self, features_VI: torch.Tensor, weight_KIO: torch.Tensor) -> torch.Tensor:
        """(num_in, O), differentiable in features and weight."""
        return features_VI @ weight_KIO[0]
