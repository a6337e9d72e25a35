"""Triton kernels of sparse convolution: an implicit matrix product over the neighbour table, and its weight gradient.

V rows, I input channels, O output channels, K taps, B blocks of rows. Operands are float32, float16 or bfloat16; sums
are float32. Only builtins of the language are used (no tl.zeros, tl.sum, tl.cdiv). The others are kernels themselves,
which the interpreter cannot call if another package imported Triton before the interpreter was switched on.
"""

# Triton reads annotations of kernels: parameters have none but tl.constexpr.
# mypy: allow-untyped-defs, allow-incomplete-defs

import triton
import triton.language as tl
from triton.runtime.jit import JITFunction


@triton.jit
def convolution_kernel(
    features_VI,
    weight_KIO,
    table_KV,  # int32, columns in the order of the blocks, padded with -1 to whole blocks
    rows_V,  # int32, output row of each column, -1 for padding
    taps_BK,  # int32, taps that a block needs, then the others
    num_taps_B,  # int32, how many it needs
    bias_O,
    scale_O,
    shift_O,
    added_VO,
    out_VO,
    negative_slope,
    num_columns,
    NUM_TAPS: tl.constexpr,
    IN_CHANNELS: tl.constexpr,
    OUT_CHANNELS: tl.constexpr,
    WEIGHT_IS_TRANSPOSED: tl.constexpr,  # weight is stored (K, O, I)
    HAS_BIAS: tl.constexpr,
    HAS_SLOPE: tl.constexpr,
    HAS_SCALE: tl.constexpr,
    HAS_SHIFT: tl.constexpr,
    HAS_ADDED: tl.constexpr,
    ACTIVATES_LAST: tl.constexpr,
    WIDENS_OPERANDS: tl.constexpr,
    INPUT_PRECISION: tl.constexpr,
    BLOCK_V: tl.constexpr,
    BLOCK_I: tl.constexpr,
    BLOCK_O: tl.constexpr,
):
    """out[o] = epilogue(sum_k x[table[k, o]] @ W[k]). A program computes BLOCK_V rows by BLOCK_O channels."""
    num_channel_blocks: tl.constexpr = (OUT_CHANNELS + BLOCK_O - 1) // BLOCK_O
    steps_a_tap: tl.constexpr = (IN_CHANNELS + BLOCK_I - 1) // BLOCK_I
    # Programs of the same rows run side by side, so that the second finds the gathered rows in the L2 cache.
    block = tl.program_id(0) // num_channel_blocks
    outs = (tl.program_id(0) % num_channel_blocks) * BLOCK_O + tl.arange(0, BLOCK_O)
    is_out = outs < OUT_CHANNELS
    columns = block * BLOCK_V + tl.arange(0, BLOCK_V)

    sums = tl.full((BLOCK_V, BLOCK_O), 0.0, tl.float32)
    # One loop without a branch over taps and channels together: the compiler can overlap loads with products.
    for step in range(0, tl.load(num_taps_B + block) * steps_a_tap):
        tap = tl.load(taps_BK + block * NUM_TAPS + step // steps_a_tap)
        ins = (step % steps_a_tap) * BLOCK_I + tl.arange(0, BLOCK_I)
        is_in = ins < IN_CHANNELS
        neighbours = tl.load(table_KV + tap * num_columns + columns)
        rows = tl.load(
            features_VI + neighbours.to(tl.int64)[:, None] * IN_CHANNELS + ins[None, :],
            mask=(neighbours >= 0)[:, None] & is_in[None, :],
            other=0.0,
        )
        if WEIGHT_IS_TRANSPOSED:
            cells = outs[None, :] * IN_CHANNELS + ins[:, None]
        else:
            cells = ins[:, None] * OUT_CHANNELS + outs[None, :]
        matrix = tl.load(
            weight_KIO + tap * (IN_CHANNELS * OUT_CHANNELS) + cells,
            mask=is_in[:, None] & is_out[None, :],
            other=0.0,
        )
        if WIDENS_OPERANDS:
            rows = rows.to(tl.float32)
            matrix = matrix.to(tl.float32)
        sums = tl.dot(rows, matrix, sums, input_precision=INPUT_PRECISION)

    if HAS_BIAS:
        sums += tl.load(bias_O + outs, mask=is_out, other=0.0).to(tl.float32)[None, :]
    if HAS_SLOPE and not ACTIVATES_LAST:
        sums = tl.where(sums >= 0, sums, sums * negative_slope)
    if HAS_SCALE:
        sums *= tl.load(scale_O + outs, mask=is_out, other=0.0).to(tl.float32)[None, :]
    if HAS_SHIFT:
        sums += tl.load(shift_O + outs, mask=is_out, other=0.0).to(tl.float32)[None, :]
    out_rows = tl.load(rows_V + columns)
    cells = out_rows.to(tl.int64)[:, None] * OUT_CHANNELS + outs[None, :]
    is_cell = (out_rows >= 0)[:, None] & is_out[None, :]
    if HAS_ADDED:
        sums += tl.load(added_VO + cells, mask=is_cell, other=0.0).to(tl.float32)
    if HAS_SLOPE and ACTIVATES_LAST:
        sums = tl.where(sums >= 0, sums, sums * negative_slope)
    tl.store(out_VO + cells, sums.to(out_VO.dtype.element_ty), mask=is_cell)


@triton.jit
def weight_gradient_kernel(
    features_VI,
    grad_VO,
    in_index_M,  # int64, pairs sorted by tap
    out_index_M,  # int64
    first_pair_K,  # int32 (K + 1,)
    partial_SKIO,  # float32
    num_splits,
    NUM_TAPS: tl.constexpr,
    IN_CHANNELS: tl.constexpr,
    OUT_CHANNELS: tl.constexpr,
    WIDENS_OPERANDS: tl.constexpr,
    INPUT_PRECISION: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_I: tl.constexpr,
    BLOCK_O: tl.constexpr,
):
    """partial[s, k] = sum over the s-th part of the pairs of tap k of x[in]^T @ grad[out]. A program computes BLOCK_I
    by BLOCK_O cells of one split and tap; splits are added up afterwards, in order, so results repeat bit by bit."""
    num_in_blocks: tl.constexpr = (IN_CHANNELS + BLOCK_I - 1) // BLOCK_I
    num_out_blocks: tl.constexpr = (OUT_CHANNELS + BLOCK_O - 1) // BLOCK_O
    tile = tl.program_id(0) % (num_in_blocks * num_out_blocks)
    tap = tl.program_id(0) // (num_in_blocks * num_out_blocks)
    split = tl.program_id(1)
    ins = (tile // num_out_blocks) * BLOCK_I + tl.arange(0, BLOCK_I)
    outs = (tile % num_out_blocks) * BLOCK_O + tl.arange(0, BLOCK_O)
    is_in = ins < IN_CHANNELS
    is_out = outs < OUT_CHANNELS

    start = tl.load(first_pair_K + tap)
    end = tl.load(first_pair_K + tap + 1)
    num_blocks = (end - start + BLOCK_M - 1) // BLOCK_M
    blocks_a_split = (num_blocks + num_splits - 1) // num_splits
    first = start + split * blocks_a_split * BLOCK_M

    sums = tl.full((BLOCK_I, BLOCK_O), 0.0, tl.float32)
    for block in range(0, blocks_a_split):
        pairs = first + block * BLOCK_M + tl.arange(0, BLOCK_M)
        is_pair = pairs < end
        in_rows = tl.load(in_index_M + pairs, mask=is_pair, other=0)
        out_rows = tl.load(out_index_M + pairs, mask=is_pair, other=0)
        features_IM = tl.load(
            features_VI + in_rows[None, :] * IN_CHANNELS + ins[:, None],
            mask=is_in[:, None] & is_pair[None, :],
            other=0.0,
        )
        grad_MO = tl.load(
            grad_VO + out_rows[:, None] * OUT_CHANNELS + outs[None, :],
            mask=is_pair[:, None] & is_out[None, :],
            other=0.0,
        )
        if WIDENS_OPERANDS:
            features_IM = features_IM.to(tl.float32)
            grad_MO = grad_MO.to(tl.float32)
        sums = tl.dot(features_IM, grad_MO, sums, input_precision=INPUT_PRECISION)

    matrix = (split * NUM_TAPS + tap).to(tl.int64) * (IN_CHANNELS * OUT_CHANNELS)
    tl.store(
        partial_SKIO + matrix + ins[:, None] * OUT_CHANNELS + outs[None, :],
        sums,
        mask=is_in[:, None] & is_out[None, :],
    )


# With TRITON_INTERPRET=1 at the first import of this file the kernels run in Triton's interpreter, on CPU tensors.
IS_INTERPRETED = not isinstance(convolution_kernel, JITFunction)
