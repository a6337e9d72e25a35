"""The spconv-triton backend: spconv's interface over kernels in Triton, for comparing the other backends with it.

V sites, K taps, I input channels, O output channels.

GPUs alone: implicit GEMM in float32 or float16, with gradients; sums of float16 products are float32. Version 1.0.0
compiles and tries 37 settings of its kernel at the first use of each pair of channel counts; Triton keeps the outcome
in ~/.triton/cache.
"""

import torch
from spconv_triton import constants
from spconv_triton.core import ConvAlgo
from spconv_triton.pytorch import functional, ops

from pvd_core.borders.errors import UserError
from pvd_core.sparse.backends.spconv_implicit_gemm import ImplicitGemmMap, Package
from pvd_core.sparse.backends.spconv_operands import check_operands
from pvd_core.sparse.backends.spconv_problem import PlainMap, Problem
from pvd_core.sparse.interfaces import Triple
from pvd_core.sparse.sites import Sites

_PACKAGE = Package(ops, functional, constants, ConvAlgo.MaskImplicitGemm)


def convolve(
    features_VI: torch.Tensor, weight_KIO: torch.Tensor, kernel_map: ImplicitGemmMap | PlainMap
) -> torch.Tensor:
    """Features of the output sites, (V_out, O), in the operands' dtype, differentiable in features and weight.
    `kernel_map` is one that Sites with this backend gave. UserError for another dtype than float32 and float16;
    TypeError or ValueError for operands that do not match each other or the map."""
    check_operands("spconv-triton", features_VI, weight_KIO, kernel_map, (ImplicitGemmMap, PlainMap))
    return kernel_map.convolve(features_VI.contiguous(), weight_KIO)


def build_map(sites: Sites, kernel: Triple, stride: Triple) -> tuple[torch.Tensor, Triple, ImplicitGemmMap | PlainMap]:
    """(coords_V4 int64, shape, kernel map) of the output sites: these are `sites` if the stride is 1, else they come in
    the order of their cells. UserError for sites that are not on a GPU."""
    problem = Problem.of(sites, kernel, stride)
    if not problem.indices_V4.is_cuda:
        raise UserError(
            f"backend 'spconv-triton': it runs on GPUs alone, the voxels are on device {sites.coords_V4.device}; "
            "take --device cuda, or without a GPU backend 'native' or 'spconv'"
        )
    if problem.needs_no_map:
        return sites.coords_V4, problem.out_shape, PlainMap(problem)
    out_indices_V4, kernel_map = ImplicitGemmMap.build(problem, _PACKAGE)
    return out_indices_V4.long(), problem.out_shape, kernel_map
