"""Sparse convolution on voxel sites: sites and kernel maps, convolution modules, backends."""

from pvd_core.sparse.kernel_map import KernelMap
from pvd_core.sparse.modules import (
    InverseConvolution,
    SparseConvolution,
    StridedConvolution,
    SubmanifoldConvolution,
)
from pvd_core.sparse.sites import Sites
from pvd_core.sparse.tensor import SparseTensor

__all__ = [
    "InverseConvolution",
    "KernelMap",
    "Sites",
    "SparseConvolution",
    "SparseTensor",
    "StridedConvolution",
    "SubmanifoldConvolution",
]
