"""The Triton backend: implicit matrix products over the neighbour table, on GPUs.

out[o] = sum over taps k of x[table[k, o]] @ W[k].  V sites, I input channels, O output channels, K taps, S splits.

Operands are float32, float16 or bfloat16, sums are taken in float32. float32 products are exact unless
`torch.set_float32_matmul_precision("high")` allows tf32. Results repeat bit by bit: no atomics.
"""

import contextlib

import torch

from pvd_core.borders.errors import UserError
from pvd_core.sparse.backends.triton_blocks import block_sizes, row_blocks
from pvd_core.sparse.backends.triton_kernels import IS_INTERPRETED, convolution_kernel, weight_gradient_kernel

# Convolutions without gradients only queue work: they may stand in a CUDA graph.
WAITS_FOR_DEVICE = False

_DTYPES = (torch.float32, torch.float16, torch.bfloat16)
# Partial sums of a weight gradient: at most 64 MB, and at least 2,048 pairs each.
_MOST_PARTIAL_CELLS = 1 << 24
_MOST_SPLITS = 32
_PAIRS_A_SPLIT = 2048


def convolve(features_VI, weight_KIO, kernel_map):
    """Features of the output sites, (V_out, O), in the operands' dtype, differentiable in features and weight. Sums are
    taken in float32."""
    _check(features_VI, weight_KIO, kernel_map)
    return _Convolve.apply(features_VI, weight_KIO, kernel_map)


def convolve_fused(features_VI, weight_KIO, kernel_map, bias=None, negative_slope=None, scale=None, shift=None):
    """What `convolve` gives, followed, before it is rounded and stored, by + bias, leaky ReLU, * scale, + shift; each
    (O,) and optional. For inference: it has no gradients."""
    given = [tensor for tensor in (features_VI, weight_KIO, bias, scale, shift) if tensor is not None]
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in given):
        raise RuntimeError("convolve_fused has no gradients: call it under torch.no_grad(), or call convolve")
    _check(features_VI, weight_KIO, kernel_map)
    for name, tensor in (("bias", bias), ("scale", scale), ("shift", shift)):
        if tensor is not None and tensor.shape != weight_KIO.shape[2:]:
            raise ValueError(f"{name} has shape {tuple(tensor.shape)}, expected {tuple(weight_KIO.shape[2:])}")
    return _gather_multiply(features_VI, weight_KIO, kernel_map, False, bias, negative_slope, scale, shift)


def convolve_with(operands, sizes):
    """What `convolve` gives for (features, weight, kernel map), cut into blocks of the given BlockSizes; for tuning."""
    return _gather_multiply(*operands, sizes=sizes)


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features_VI, weight_KIO, kernel_map):
        ctx.save_for_backward(features_VI, weight_KIO)
        ctx.kernel_map = kernel_map
        return _gather_multiply(features_VI, weight_KIO, kernel_map)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_VO):
        features_VI, weight_KIO = ctx.saved_tensors
        grad_features_VI = grad_weight_KIO = None
        if ctx.needs_input_grad[0]:
            grad_features_VI = _gather_multiply(grad_VO, weight_KIO, ctx.kernel_map.transposed, True)
        if ctx.needs_input_grad[1]:
            grad_weight_KIO = _weight_gradient(features_VI, grad_VO, ctx.kernel_map)
        return grad_features_VI, grad_weight_KIO, None


def _check(features_VI, weight_KIO, kernel_map):
    """Kernels read what they are told to: a wrong shape would read foreign memory."""
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
    features_VI,
    weight_KIO,
    kernel_map,
    is_transposed=False,
    bias=None,
    negative_slope=None,
    scale=None,
    shift=None,
    sizes=None,
):
    """`is_transposed`: `weight_KIO` is that of the opposite direction, so the result has its I channels."""
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
            *(out_VO if tensor is None else tensor.contiguous() for tensor in (bias, scale, shift)),
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
            BLOCK_V=sizes.rows,
            BLOCK_I=sizes.in_channels,
            BLOCK_O=sizes.out_channels,
            **_products(features_VI),
            **_launch_options(sizes),
        )
    return out_VO


def _weight_gradient(features_VI, grad_VO, kernel_map):
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


def _first_pair(kernel_map):
    """Number of the first pair of each tap, and of all pairs: int32 (K + 1,)."""
    counts_K = torch.tensor((0, *kernel_map.num_pairs_K), dtype=torch.int64)
    return counts_K.cumsum(0).int().to(kernel_map.in_index_M.device)


def _products(features_VI):
    """How products are taken. bfloat16 is widened where there is no product of it: the interpreter multiplies its bit
    patterns, and GPUs before compute capability 8 lack it."""
    has_bfloat16 = not IS_INTERPRETED and torch.cuda.get_device_capability(features_VI.device) >= (8, 0)
    return {
        "WIDENS_OPERANDS": features_VI.dtype == torch.bfloat16 and not has_bfloat16,
        "INPUT_PRECISION": "ieee" if torch.get_float32_matmul_precision() == "highest" else "tf32",
    }


def _launch_options(sizes):
    # Fused multiply-adds are named because their default differs between versions of Triton.
    return {"num_warps": sizes.num_warps, "num_stages": sizes.num_stages, "enable_fp_fusion": True}


def _on_device_of(tensor):
    """Triton launches on the current device, wherever the tensors are."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else contextlib.nullcontext()
