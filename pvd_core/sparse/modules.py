"""Convolution layers on SparseTensors. Weights are (K, C_in, C_out), taps row-major over (rho, phi, z)."""

import math

import torch
from torch import nn

from pvd_core.sparse.epilogue import Epilogue, can_fuse
from pvd_core.sparse.tensor import SparseTensor, autocast


class SparseConvolution(nn.Module):
    """What the three kinds share: the weight and its application to the pairs of a kernel map."""

    def __init__(self, in_channels, out_channels, kernel, bias=False):
        super().__init__()
        self.kernel = tuple(kernel)
        if len(self.kernel) != 3 or not set(self.kernel) <= {1, 3}:
            raise ValueError(f"kernel {self.kernel}: expected three sizes (rho, phi, z), each 1 or 3")
        num_taps = math.prod(self.kernel)
        self.weight = nn.Parameter(torch.empty(num_taps, in_channels, out_channels))
        # Kaiming-uniform with a = sqrt(5) on the true fan, as dense torch convolutions start.
        bound = 1 / math.sqrt(num_taps * in_channels)
        nn.init.uniform_(self.weight, -bound, bound)
        self.bias = nn.Parameter(torch.empty(out_channels).uniform_(-bound, bound)) if bias else None

    def extra_repr(self):
        _num_taps, in_channels, out_channels = self.weight.shape
        return f"{in_channels}, {out_channels}, kernel={self.kernel}, bias={self.bias is not None}"

    def _convolve(self, tensor, kernel_map, epilogue=None):
        features_VI, weight_KIO = autocast(tensor.features_VC, self.weight)
        backend = tensor.sites.backend
        if epilogue is None and self.bias is not None and can_fuse(backend):
            epilogue = Epilogue()
        if epilogue is not None:
            return backend.convolve_fused(
                features_VI,
                weight_KIO,
                kernel_map,
                self.bias,
                epilogue.negative_slope,
                epilogue.scale_O,
                epilogue.shift_O,
            )
        features_VO = backend.convolve(features_VI, weight_KIO, kernel_map)
        return features_VO if self.bias is None else features_VO + self.bias


class SubmanifoldConvolution(SparseConvolution):
    """Stride 1; output sites are the input sites. Kernel sizes 1 or 3 an axis. An `epilogue` may be given where
    `can_fuse` allows it."""

    def forward(self, tensor: SparseTensor, epilogue: Epilogue | None = None) -> SparseTensor:
        return tensor.with_features(self._convolve(tensor, self.kernel_map(tensor), epilogue))

    def kernel_map(self, tensor):
        return tensor.sites.submanifold_map(self.kernel)


class StridedConvolution(SparseConvolution):
    """Kernel 3x3x3, padding 1: an output site wherever an input site lies in the receptive field."""

    def __init__(self, in_channels, out_channels, stride):
        super().__init__(in_channels, out_channels, (3, 3, 3))
        self.stride = tuple(stride)

    def forward(self, tensor: SparseTensor) -> SparseTensor:
        coarse_sites, kernel_map = tensor.sites.downsampled(self.stride)
        return SparseTensor(self._convolve(tensor, kernel_map), coarse_sites)

    def kernel_map(self, tensor):
        return tensor.sites.downsampled(self.stride)[1]


class InverseConvolution(SparseConvolution):
    """Undoes the sites of the StridedConvolution with the same stride that `fine_sites` went through."""

    def __init__(self, in_channels, out_channels, stride):
        super().__init__(in_channels, out_channels, (3, 3, 3))
        self.stride = tuple(stride)

    def forward(self, tensor: SparseTensor, fine_sites) -> SparseTensor:
        features_VC = self._convolve(tensor, self.kernel_map(tensor, fine_sites))
        return SparseTensor(features_VC, fine_sites)

    def kernel_map(self, tensor, fine_sites):
        return fine_sites.downsampled(self.stride)[1].transposed
