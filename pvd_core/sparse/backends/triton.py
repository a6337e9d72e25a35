"""The Triton backend: implicit matrix products over the neighbour table, on GPUs.

out[o] = sum over taps k of x[table[k, o]] @ W[k].  V sites, I input channels, O output channels, K taps, S splits.

Operands are float32, float16 or bfloat16, sums are taken in float32. float32 products are exact unless
`torch.set_float32_matmul_precision("high")` allows tf32. Results repeat bit by bit: no atomics.
"""

import contextlib
from typing import Any

import torch

from pvd_core.borders.errors import UserError
from pvd_core.sparse.backends.triton_blocks import block_sizes, row_blocks
from pvd_core.sparse.backends.triton_kernels import IS_INTERPRETED, convolution_kernel, weight_gradient_kernel
from pvd_core.sparse.backends.triton_table import BlockSizes
from pvd_core.sparse.kernel_map import KernelMap

Operands = tuple[torch.Tensor, torch.Tensor, KernelMap]  # features_VI, weight_KIO, kernel map

# Convolutions without gradients only queue work, so a CUDA graph can hold them.
WAITS_FOR_DEVICE = False

_DTYPES = (torch.float32, torch.float16, torch.bfloat16)
# Partial sums of a weight gradient: at most 64 MB, and at least 2,048 pairs each.
_MOST_PARTIAL_CELLS = 1 << 24
_MOST_SPLITS = 32
_PAIRS_A_SPLIT = 2048


def convolve(features_VI: torch.Tensor, weight_KIO: torch.Tensor, kernel_map: KernelMap) -> torch.Tensor:
    """Features of the output sites, (V_out, O), in the operands' dtype, differentiable in features and weight. Sums are
    taken in float32. UserError without a GPU; TypeError or ValueError for operands that do not match each other or the
    map."""
    _check(features_VI, weight_KIO, kernel_map)
    return _Convolve.apply(features_VI, weight_KIO, kernel_map)


def convolve_fused(
    features_VI: torch.Tensor,
    weight_KIO: torch.Tensor,
    kernel_map: KernelMap,
    bias: torch.Tensor | None = None,
    negative_slope: float | None = None,
    scale: torch.Tensor | None = None,
    shift: torch.Tensor | None = None,
    added: torch.Tensor | None = None,
    activates_last: bool = False,
) -> torch.Tensor:
    """What `convolve` gives, with steps that are applied before the sums are rounded and stored: + bias, leaky ReLU,
    * scale, + shift, + added, in this order, or with `activates_last` the leaky ReLU last. Each is optional; bias,
    scale and shift are (O,), `added` is as the result. For inference: RuntimeError where gradients are wanted."""
    given = [tensor for tensor in (features_VI, weight_KIO, bias, scale, shift, added) if tensor is not None]
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in given):
        raise RuntimeError("convolve_fused has no gradients: call it under torch.no_grad(), or call convolve")
    _check(features_VI, weight_KIO, kernel_map)
    for name, tensor in (("bias", bias), ("scale", scale), ("shift", shift)):
        if tensor is not None and tensor.shape != weight_KIO.shape[2:]:
            raise ValueError(f"{name} has shape {tuple(tensor.shape)}, expected {tuple(weight_KIO.shape[2:])}")
    expected = (kernel_map.num_out, weight_KIO.shape[2])
    if added is not None and added.shape != expected:
        raise ValueError(f"added has shape {tuple(added.shape)}, expected {expected}")
    return _gather_multiply(
        features_VI, weight_KIO, kernel_map, False, bias, negative_slope, scale, shift, added, activates_last
    )


def convolve_with(operands: Operands, sizes: BlockSizes) -> torch.Tensor:
    """What `convolve` gives, without gradients, computed with these block sizes. For tuning."""
    features_VI, weight_KIO, kernel_map = operands
    return _gather_multiply(features_VI, weight_KIO, kernel_map, sizes=sizes)


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features_VI: torch.Tensor, weight_KIO: torch.Tensor, kernel_map: KernelMap) -> torch.Tensor:
        ctx.save_for_backward(features_VI, weight_KIO)
        ctx.kernel_map = kernel_map
        return _gather_multiply(features_VI, weight_KIO, kernel_map)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_VO: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None, None]:
        features_VI, weight_KIO = ctx.saved_tensors
        grad_features_VI = grad_weight_KIO = None
        if ctx.needs_input_grad[0]:
            grad_features_VI = _gather_multiply(grad_VO, weight_KIO, ctx.kernel_map.transposed, True)
        if ctx.needs_input_grad[1]:
            grad_weight_KIO = _weight_gradient(features_VI, grad_VO, ctx.kernel_map)
        return grad_features_VI, grad_weight_KIO, None


def _check(features_VI: torch.Tensor, weight_KIO: torch.Tensor, kernel_map: KernelMap) -> None:
    """Kernels do not check their operands: with a wrong shape they would read memory outside of them."""
    if not (features_VI.is_cuda or IS_INTERPRETED):
        raise UserError(
            f"backend 'triton': the features are on {features_VI.device}, it needs a GPU; use backend 'reference' there"
        )
    if features_VI.dtype not in _DTYPES or weight_KIO.dtype != features_VI.dtype:
        raise TypeError(
            f"features are {features_VI.dtype} and weight {weight_KIO.dtype}: expected one of float32, float16, "
            "bfloat16 for both"
        )
    expected = (kernel_map.num_taps, kernel_map.num_in)
    if (weight_KIO.shape[0], features_VI.shape[0]) != expected or features_VI.shape[1] != weight_KIO.shape[1]:
        raise ValueError(
            f"features {tuple(features_VI.shape)}, weight {tuple(weight_KIO.shape)}: the kernel map has "
            f"{expected[0]} taps and {expected[1]} input sites"
        )


def _gather_multiply(
    features_VI: torch.Tensor,
    weight_KIO: torch.Tensor,
    kernel_map: KernelMap,
    is_transposed: bool = False,
    bias: torch.Tensor | None = None,
    negative_slope: float | None = None,
    scale: torch.Tensor | None = None,
    shift: torch.Tensor | None = None,
    added: torch.Tensor | None = None,
    activates_last: bool = False,
    sizes: BlockSizes | None = None,
) -> torch.Tensor:
    """`is_transposed`: features have the O channels of `weight_KIO`, and the result has its I channels."""
    features_VI, weight_KIO = features_VI.contiguous(), weight_KIO.contiguous()
    num_taps, in_channels, out_channels = weight_KIO.shape
    if is_transposed:
        in_channels, out_channels = out_channels, in_channels
    out_VO = features_VI.new_empty(kernel_map.num_out, out_channels)
    if out_VO.numel() == 0:
        return out_VO
    sizes = sizes or block_sizes(in_channels, out_channels, features_VI, kernel_map.num_out)
    blocks = row_blocks(kernel_map, sizes.rows)
    num_channel_blocks = -(-out_channels // sizes.out_channels)
    with _on_device_of(features_VI):
        convolution_kernel[(blocks.num_blocks * num_channel_blocks,)](
            features_VI,
            weight_KIO,
            blocks.table_KV,
            blocks.rows_V,
            blocks.taps_BK,
            blocks.num_taps_B,
            *(out_VO if tensor is None else tensor.contiguous() for tensor in (bias, scale, shift, added)),
            out_VO,
            0.0 if negative_slope is None else float(negative_slope),
            blocks.table_KV.shape[1],
            NUM_TAPS=num_taps,
            IN_CHANNELS=in_channels,
            OUT_CHANNELS=out_channels,
            WEIGHT_IS_TRANSPOSED=is_transposed,
            HAS_BIAS=bias is not None,
            HAS_SLOPE=negative_slope is not None,
            HAS_SCALE=scale is not None,
            HAS_SHIFT=shift is not None,
            HAS_ADDED=added is not None,
            ACTIVATES_LAST=activates_last,
            BLOCK_V=sizes.rows,
            BLOCK_I=sizes.in_channels,
            BLOCK_O=sizes.out_channels,
            **_products(features_VI),
            **_launch_options(sizes),
        )
    return out_VO


def _weight_gradient(features_VI: torch.Tensor, grad_VO: torch.Tensor, kernel_map: KernelMap) -> torch.Tensor:
    features_VI, grad_VO = features_VI.contiguous(), grad_VO.contiguous()
    num_taps, in_channels, out_channels = len(kernel_map.num_pairs_K), features_VI.shape[1], grad_VO.shape[1]
    num_cells = num_taps * in_channels * out_channels
    if kernel_map.num_pairs == 0 or num_cells == 0:
        return features_VI.new_zeros(num_taps, in_channels, out_channels)
    num_splits = min(_MOST_SPLITS, -(-max(kernel_map.num_pairs_K) // _PAIRS_A_SPLIT), _MOST_PARTIAL_CELLS // num_cells)
    partial_SKIO = features_VI.new_empty(max(num_splits, 1), num_taps, in_channels, out_channels, dtype=torch.float32)
    sizes = block_sizes(in_channels, out_channels, features_VI, kernel_map.num_out)
    num_tiles = -(-in_channels // sizes.in_channels) * -(-out_channels // sizes.out_channels)
    with _on_device_of(features_VI):
        weight_gradient_kernel[(num_taps * num_tiles, len(partial_SKIO))](
            features_VI,
            grad_VO,
            kernel_map.in_index_M,
            kernel_map.out_index_M,
            kernel_map.cached("first_pair", lambda: _first_pair(kernel_map)),
            partial_SKIO,
            len(partial_SKIO),
            NUM_TAPS=num_taps,
            IN_CHANNELS=in_channels,
            OUT_CHANNELS=out_channels,
            BLOCK_M=sizes.pairs,
            BLOCK_I=sizes.in_channels,
            BLOCK_O=sizes.out_channels,
            **_products(features_VI),
            **_launch_options(sizes),
        )
    return partial_SKIO.sum(dim=0).to(features_VI.dtype)


def _first_pair(kernel_map: KernelMap) -> torch.Tensor:
    """Index of the first pair of each tap, then the number of all pairs: int32 (K + 1,)."""
    counts_K = torch.tensor((0, *kernel_map.num_pairs_K), dtype=torch.int64)
    return counts_K.cumsum(0).int().to(kernel_map.in_index_M.device)


def _products(features_VI: torch.Tensor) -> dict[str, Any]:
    """Kernel arguments that say how products are taken. bfloat16 is widened to float32 where it cannot be multiplied:
    GPUs before compute capability 8 lack it, and the interpreter would multiply its bit patterns."""
    has_bfloat16 = not IS_INTERPRETED and torch.cuda.get_device_capability(features_VI.device) >= (8, 0)
    return {
        "WIDENS_OPERANDS": features_VI.dtype == torch.bfloat16 and not has_bfloat16,
        "INPUT_PRECISION": "ieee" if torch.get_float32_matmul_precision() == "highest" else "tf32",
    }


def _launch_options(sizes: BlockSizes) -> dict[str, Any]:
    # `enable_fp_fusion` is given because its default differs between versions of Triton.
    return {"num_warps": sizes.num_warps, "num_stages": sizes.num_stages, "enable_fp_fusion": True}


def _on_device_of(tensor: torch.Tensor) -> Any:
    """A context for launching on the tensor's device: Triton launches on the current one."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else contextlib.nullcontext()
