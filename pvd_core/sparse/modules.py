"""Convolution layers on SparseTensors. Weights are (K, C_in, C_out), taps row-major over the axes of the grid.

An `epilogue` may be given to a layer where `can_fuse` (pvd_core/sparse/epilogue.py) allows it.

V sites, I input channels, O output channels, K taps.
"""

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import nn

from pvd_core.sparse.backends import offers
from pvd_core.sparse.derived import forget
from pvd_core.sparse.epilogue import Epilogue, can_fuse
from pvd_core.sparse.interfaces import AnyMap, AnySites, FusingBackend, Triple
from pvd_core.sparse.tensor import SparseTensor, autocast


class SparseConvolution(nn.Module):
    """What the three kinds share: the weight, and its application to the pairs of a kernel map."""

    def __init__(self, in_channels: int, out_channels: int, kernel: Sequence[int], bias: bool = False) -> None:
        super().__init__()
        self.kernel = cast(Triple, tuple(kernel))
        num_taps = math.prod(self.kernel)
        self.weight = nn.Parameter(torch.empty(num_taps, in_channels, out_channels))
        # Kaiming-uniform with a = sqrt(5) on the true fan, as dense torch convolutions start.
        bound = 1 / math.sqrt(num_taps * in_channels)
        nn.init.uniform_(self.weight, -bound, bound)
        self.bias = nn.Parameter(torch.empty(out_channels).uniform_(-bound, bound)) if bias else None

    def extra_repr(self) -> str:
        _num_taps, in_channels, out_channels = self.weight.shape
        return f"{in_channels}, {out_channels}, kernel={self.kernel}, bias={self.bias is not None}"

    def _convolve(self, tensor: SparseTensor, kernel_map: AnyMap, epilogue: Epilogue | None = None) -> torch.Tensor:
        backend = tensor.sites.backend
        weight_KIO: torch.Tensor = self.weight
        (features_VI,) = autocast(tensor.features_VC)
        if not offers(backend, "ROUNDS_WEIGHTS", features_VI):
            (weight_KIO,) = autocast(weight_KIO)
        elif torch.is_grad_enabled():
            forget(weight_KIO)
        if epilogue is None and self.bias is not None and can_fuse(backend, features_VI):
            epilogue = Epilogue()
        if epilogue is not None:
            return cast(FusingBackend, backend).convolve_fused(
                features_VI,
                weight_KIO,
                kernel_map,
                self.bias,
                epilogue.negative_slope,
                epilogue.scale_O,
                epilogue.shift_O,
                epilogue.added_VO,
                epilogue.activates_last,
            )
        features_VO = backend.convolve(features_VI, weight_KIO, kernel_map)
        return features_VO if self.bias is None else features_VO + self.bias


class SubmanifoldConvolution(SparseConvolution):
    """Stride 1; the output sites are the input sites."""

    def __init__(self, in_channels: int, out_channels: int, kernel: Sequence[int], bias: bool = False) -> None:
        """ValueError for a `kernel` other than three sizes that are each 1 or 3."""
        if len(kernel) != 3 or not set(kernel) <= {1, 3}:
            raise ValueError(f"kernel {tuple(kernel)}: expected three sizes, one for each axis, each 1 or 3")
        super().__init__(in_channels, out_channels, kernel, bias)

    def forward(self, tensor: SparseTensor, epilogue: Epilogue | None = None) -> SparseTensor:
        return tensor.with_features(self._convolve(tensor, self.kernel_map(tensor), epilogue))

    def kernel_map(self, tensor: SparseTensor) -> AnyMap:
        """The map that this layer applies to `tensor`."""
        return tensor.sites.map(self.kernel)


class StridedConvolution(SparseConvolution):
    """An output site wherever an input site lies in the receptive field. Kernel 3x3x3 has padding 1; a kernel that is
    the stride has none."""

    def __init__(
        self, in_channels: int, out_channels: int, stride: Sequence[int], kernel: Sequence[int] = (3, 3, 3)
    ) -> None:
        """ValueError for a `stride` other than three steps of 1 or 2, one at least 2, and for another `kernel`."""
        super().__init__(in_channels, out_channels, kernel)
        self.stride = _checked_stride(stride, self.kernel)

    def forward(self, tensor: SparseTensor, epilogue: Epilogue | None = None) -> SparseTensor:
        coarse_sites = tensor.sites.coarse(self.kernel, self.stride)
        return SparseTensor(self._convolve(tensor, self.kernel_map(tensor), epilogue), coarse_sites)

    def kernel_map(self, tensor: SparseTensor) -> AnyMap:
        """The map that this layer applies to `tensor`."""
        return tensor.sites.map(self.kernel, self.stride)


class InverseConvolution(SparseConvolution):
    """From coarse sites back to `fine_sites`, from which a StridedConvolution with this stride and kernel made them."""

    def __init__(
        self, in_channels: int, out_channels: int, stride: Sequence[int], kernel: Sequence[int] = (3, 3, 3)
    ) -> None:
        """ValueError as StridedConvolution."""
        super().__init__(in_channels, out_channels, kernel)
        self.stride = _checked_stride(stride, self.kernel)

    def forward(self, tensor: SparseTensor, fine_sites: AnySites, epilogue: Epilogue | None = None) -> SparseTensor:
        features_VC = self._convolve(tensor, self.kernel_map(tensor, fine_sites), epilogue)
        return SparseTensor(features_VC, fine_sites)

    def kernel_map(self, tensor: SparseTensor, fine_sites: AnySites) -> AnyMap:
        """The map that this layer applies to `tensor`."""
        return fine_sites.map(self.kernel, self.stride).transposed


def _checked_stride(stride: Sequence[int], kernel: Triple) -> Triple:
    steps = tuple(stride)
    if len(steps) != 3 or not set(steps) <= {1, 2} or steps == (1, 1, 1):
        raise ValueError(f"stride {steps}: expected three steps, one for each axis, each 1 or 2 and not all 1")
    if kernel not in ((3, 3, 3), steps):
        raise ValueError(f"kernel {kernel}: expected (3, 3, 3), or the stride {steps}")
    return steps
