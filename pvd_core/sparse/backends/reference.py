"""The plain torch backend: any device, autograd, deterministic. Every other backend is compared with it.

out[o] = sum over pairs (i, o, k) of x[i] @ W[k].  I input channels, O output channels, K taps, M pairs, V sites.

The products of all pairs go into one buffer, tap by tap; then a gather-sum adds up those of each output row in the
order of the taps. An `index_add_` for each tap would be 2 to 10 times slower at 8 to 32 channels on CPUs.
"""

from typing import Any

import torch
from torch.nn import functional

from pvd_core.runtime.precision import widened
from pvd_core.sparse.kernel_map import KernelMap


def convolve(features_VI: torch.Tensor, weight_KIO: torch.Tensor, kernel_map: KernelMap) -> torch.Tensor:
    """Features of the output sites, (V_out, O), in the operands' dtype, differentiable in features and weight. Sums are
    taken in float32."""
    return _Convolve.apply(features_VI, weight_KIO, kernel_map)


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features_VI: torch.Tensor, weight_KIO: torch.Tensor, kernel_map: KernelMap) -> torch.Tensor:
        ctx.save_for_backward(features_VI, weight_KIO)
        ctx.kernel_map = kernel_map
        return _gather_multiply_sum(features_VI, weight_KIO, kernel_map)

    @staticmethod
    def backward(ctx: Any, grad_VO: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None, None]:
        features_VI, weight_KIO = ctx.saved_tensors
        grad_features_VI = grad_weight_KIO = None
        if ctx.needs_input_grad[0]:
            grad_features_VI = _gather_multiply_sum(grad_VO, weight_KIO.transpose(1, 2), ctx.kernel_map.transposed)
        if ctx.needs_input_grad[1]:
            grad_weight_KIO = _weight_gradient(features_VI, grad_VO, ctx.kernel_map).to(weight_KIO.dtype)
        return grad_features_VI, grad_weight_KIO, None


def _gather_multiply_sum(features_VI: torch.Tensor, weight_KIO: torch.Tensor, kernel_map: KernelMap) -> torch.Tensor:
    """(V_out, O)."""
    in_index_K, _ = _indices_by_tap(kernel_map)
    products_MO = features_VI.new_empty(kernel_map.num_pairs, weight_KIO.shape[2])
    products_K = products_MO.split(kernel_map.num_pairs_K)
    for in_index, matrix_IO, products in zip(in_index_K, weight_KIO, products_K, strict=True):
        torch.mm(features_VI.index_select(0, in_index), matrix_IO, out=products)
    pairs_by_output_M, first_pair_V = kernel_map.cached("by output", lambda: _sorted_by_output(kernel_map))
    return functional.embedding_bag(pairs_by_output_M, products_MO, first_pair_V, mode="sum")


def _weight_gradient(features_VI: torch.Tensor, grad_VO: torch.Tensor, kernel_map: KernelMap) -> torch.Tensor:
    """(K, I, O), in float32 even where the products are not: these are sums of many."""
    grads_IO = [
        widened(torch.mm(features_VI.index_select(0, in_index).t(), grad_VO.index_select(0, out_index)))
        for in_index, out_index in zip(*_indices_by_tap(kernel_map), strict=True)
    ]
    return torch.stack(grads_IO)


def _indices_by_tap(kernel_map: KernelMap) -> tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]:
    """Input rows and output rows of the pairs of each tap."""
    counts_K = kernel_map.num_pairs_K
    return kernel_map.in_index_M.split(counts_K), kernel_map.out_index_M.split(counts_K)


def _sorted_by_output(kernel_map: KernelMap) -> tuple[torch.Tensor, torch.Tensor]:
    """Numbers of the pairs, int32 (M,), sorted by output, then by tap; where each output begins there, int32 (V,)."""
    out_index_M = kernel_map.out_index_M
    num_pairs_V = torch.bincount(out_index_M, minlength=kernel_map.num_out)
    return out_index_M.argsort(stable=True).int(), (num_pairs_V.cumsum(0) - num_pairs_V).int()
