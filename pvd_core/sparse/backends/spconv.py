"""The spconv backend: spconv 2.3 with its own kernel maps, for comparing the other backends with it.

V sites, K taps, I input channels, O output channels.

GPUs: implicit GEMM in float32 or float16, with gradients. Sums of float16 products are float16 in layers of at most 128
input channels times 27 taps, which is spconv's default. CPU: gather, multiply, scatter, without gradients.
"""

import warnings
from typing import Any

import torch
from spconv import constants
from spconv.core import ConvAlgo
from spconv.cppconstants import CPU_ONLY_BUILD
from spconv.pytorch import functional, ops

from pvd_core.borders.errors import UserError
from pvd_core.sparse.backends.spconv_implicit_gemm import ImplicitGemmMap, Package, output_first
from pvd_core.sparse.backends.spconv_operands import check_operands
from pvd_core.sparse.backends.spconv_pairs import PairMap
from pvd_core.sparse.backends.spconv_problem import PlainMap, Problem
from pvd_core.sparse.derived import derived
from pvd_core.sparse.interfaces import Triple
from pvd_core.sparse.sites import Sites

SpconvMap = PairMap | ImplicitGemmMap | PlainMap

_PACKAGE = Package(ops, functional, constants, ConvAlgo.MaskImplicitGemm)


def convolve(features_VI: torch.Tensor, weight_KIO: torch.Tensor, kernel_map: SpconvMap) -> torch.Tensor:
    """Features of the output sites, (V_out, O), in the operands' dtype; on GPUs differentiable in features and weight.
    `kernel_map` is one that Sites with this backend gave. UserError for a dtype that spconv does not have and for
    gradients on the CPU; TypeError or ValueError for operands that do not match each other or the map."""
    check_operands("spconv", features_VI, weight_KIO, kernel_map, (PairMap, ImplicitGemmMap, PlainMap))
    if not isinstance(kernel_map, PairMap):
        return kernel_map.convolve(features_VI.contiguous(), weight_KIO)
    if (fault := known_fault(features_VI.device)) is not None:
        warnings.warn(f"backend 'spconv': {fault}", RuntimeWarning, stacklevel=2)
    return _ForwardOnly.apply(features_VI.contiguous(), weight_KIO, kernel_map)


def known_fault(device: torch.device) -> str | None:
    """Why results on `device` are wrong with the current number of threads; None if they are right."""
    # spconv and torch share one OpenMP, and so the number of threads. Builds for CUDA use one thread on the CPU.
    if device.type == "cpu" and CPU_ONLY_BUILD and torch.get_num_threads() > 1:
        return (
            f"with {torch.get_num_threads()} threads on the CPU some rows of its results are wrong (threads share "
            "a pointer in scatter_add of spconv 2.3.8); torch.set_num_threads(1) makes them right"
        )
    return None


def build_map(sites: Sites, kernel: Triple, stride: Triple) -> tuple[torch.Tensor, Triple, SpconvMap]:
    """(coords_V4 int64, shape, kernel map) of the output sites: these are `sites` if the stride is 1, else they come in
    spconv's order."""
    problem = Problem.of(sites, kernel, stride)
    out_indices_V4, kernel_map = _built(problem)
    return out_indices_V4.long(), problem.out_shape, kernel_map


def _built(problem: Problem) -> tuple[torch.Tensor, SpconvMap]:
    """(indices_V4 of the output sites, their kernel map)."""
    if problem.needs_no_map:
        return problem.indices_V4, PlainMap(problem)
    if not problem.indices_V4.is_cuda:
        return PairMap.build(problem)
    if CPU_ONLY_BUILD:
        raise UserError(
            "backend 'spconv': the spconv installed here is built for the CPU alone; for GPUs "
            "pip uninstall spconv cumm, then pip install 'pvd_ros[gpu]'"
        )
    return ImplicitGemmMap.build(problem, _PACKAGE)


class _ForwardOnly(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features_VI: torch.Tensor, weight_KIO: torch.Tensor, kernel_map: PairMap) -> torch.Tensor:
        return kernel_map.convolve(features_VI, derived(weight_KIO, "spconv", output_first))

    @staticmethod
    def backward(ctx: Any, _grad_VO: torch.Tensor) -> None:
        raise UserError("backend 'spconv': it has no gradients on the CPU; train with backend 'reference', or on a GPU")
