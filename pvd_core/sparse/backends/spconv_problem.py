"""What spconv needs to know of a convolution, and the convolutions that it needs no map for.

V sites, K taps, I input channels, O output channels.
"""

import math
from dataclasses import dataclass

import torch
from spconv.pytorch import ops


@dataclass(frozen=True, eq=False)
class Problem:
    """A convolution and its input sites; `indices_V4` int32: scan, then grid indices inside `shape`."""

    indices_V4: torch.Tensor
    batch_size: int
    shape: tuple[int, int, int]
    kernel: tuple[int, int, int]
    stride: tuple[int, int, int]
    is_submanifold: bool

    @property
    def num_in(self):
        return self.indices_V4.shape[0]

    @property
    def num_taps(self):
        return math.prod(self.kernel)

    @property
    def out_shape(self):
        return self.shape if self.is_submanifold else tuple(ops.get_conv_output_size(self.shape, *self._geometry[:-1]))

    @property
    def needs_no_map(self):
        """spconv cannot launch for no sites at all, and makes no map for a single tap."""
        return self.num_in == 0 or self.num_taps == 1

    def arguments(self, algorithm):
        """Those that `ops.get_indice_pairs` and `ops.get_indice_pairs_implicit_gemm` begin with."""
        sites = self.indices_V4, self.batch_size, list(self.shape)
        is_transposed = False
        return *sites, algorithm, *self._geometry, self.is_submanifold, is_transposed

    def weight(self, weight_OKI):
        """The weight with the axes that spconv's layers have: (O, k0, k1, k2, I)."""
        return weight_OKI.view(weight_OKI.shape[0], *self.kernel, weight_OKI.shape[2])

    @property
    def _geometry(self):
        """Kernel, stride, padding, dilation, output padding."""
        padding = [size // 2 for size in self.kernel]
        return list(self.kernel), list(self.stride), padding, [1, 1, 1], [0, 0, 0]


@dataclass(frozen=True, eq=False)
class PlainMap:
    """The map of a convolution that needs none: each output row is its input row times one matrix, if there are any."""

    problem: Problem

    @property
    def num_in(self):
        return self.problem.num_in

    @property
    def num_out(self):
        return self.problem.num_in

    @property
    def num_pairs_K(self):
        """Number of pairs of each tap, a tuple."""
        return (self.num_in,) * self.problem.num_taps

    @property
    def transposed(self):
        return self
