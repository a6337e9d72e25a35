"""The plain torch backend: any device, autograd, deterministic.

out[o] = sum over pairs (i, o, k) of x[i] @ W[k].  I input channels, O output channels, K taps, M pairs.

One matrix product a tap into a buffer of all pairs, then one gather-sum an output row. Each sum runs over the pairs in
tap order, so results do not depend on the number of threads; it replaces an `index_add_` a tap, which is 2 to 10 times
slower at 8 to 32 channels on CPUs.
"""

import torch

from pvd_core.sparse.backends.products import add_outer_product, multiply_into, row_bucket

# Operands and result of a product are used again at once: they should still be in the cache (best of 0.5 to 4 MB).
_PIECE_BYTES = 1 << 21


def convolve(features_VI, weight_KIO, kernel_map):
    """Features of the output sites, (V_out, O), in the operands' dtype, differentiable in features and weight. Sums are
    taken in float32."""
    return _Convolve.apply(features_VI, weight_KIO, kernel_map)


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features_VI, weight_KIO, kernel_map):
        ctx.save_for_backward(features_VI, weight_KIO)
        ctx.kernel_map = kernel_map
        return _gather_multiply_sum(features_VI, weight_KIO, kernel_map)

    @staticmethod
    def backward(ctx, grad_VO):
        features_VI, weight_KIO = ctx.saved_tensors
        grad_VO = grad_VO.contiguous()
        grad_features_VI = grad_weight_KIO = None
        if ctx.needs_input_grad[0]:
            grad_features_VI = _gather_multiply_sum(grad_VO, weight_KIO.transpose(1, 2), ctx.kernel_map.transposed)
        if ctx.needs_input_grad[1]:
            grad_weight_KIO = _weight_gradient(features_VI, grad_VO, weight_KIO, ctx.kernel_map)
        return grad_features_VI, grad_weight_KIO, None


def _gather_multiply_sum(features_VI, weight_KIO, kernel_map):
    num_out, num_pairs, out_channels = kernel_map.num_out, kernel_map.num_pairs, weight_KIO.shape[2]
    if num_pairs == 0:
        return features_VI.new_zeros(num_out, out_channels)
    # Rows that only fill up a bucket spill into the part of the next piece, which that piece then overwrites.
    pieces = [
        (tap, start, start + row_bucket(end - start, features_VI))
        for tap, start, end in _pieces(kernel_map, features_VI, out_channels)
    ]
    buffer_rows = max(end for _, _, end in pieces)
    in_index_M = kernel_map.padded_in_index(buffer_rows)
    products_MO = features_VI.new_empty(buffer_rows, out_channels)
    for tap, start, end in pieces:
        rows_I = features_VI.index_select(0, in_index_M[start:end])
        multiply_into(products_MO[start:end], rows_I, weight_KIO[tap])
    pair_numbers_M, first_pair_V = kernel_map.pairs_by_output
    return torch.nn.functional.embedding_bag(pair_numbers_M, products_MO, first_pair_V, mode="sum")


def _pieces(kernel_map, features_VI, out_channels):
    """(tap, first pair, end of pairs) of products whose operands stay in the cache."""
    row_bytes = features_VI.element_size() * (features_VI.shape[1] + out_channels)
    num_rows = 1 << max(_PIECE_BYTES // row_bytes, 1).bit_length() if features_VI.device.type == "cpu" else 1 << 62
    for tap, start, end in kernel_map.taps:
        for first in range(start, end, num_rows):
            yield tap, first, min(first + num_rows, end)


def _weight_gradient(features_VI, grad_VO, weight_KIO, kernel_map):
    # Sums of many products: in float32 even where the products are not.
    grad_KIO = torch.zeros_like(weight_KIO, dtype=torch.promote_types(weight_KIO.dtype, torch.float32))
    for tap, start, end in _pieces(kernel_map, features_VI, grad_VO.shape[1]):
        in_index, out_index = kernel_map.in_index_M[start:end], kernel_map.out_index_M[start:end]
        num_rows = row_bucket(len(in_index), features_VI)
        rows_I, rows_O = _filled(features_VI, in_index, num_rows), _filled(grad_VO, out_index, num_rows)
        add_outer_product(grad_KIO[tap], rows_I, rows_O)
    return grad_KIO.to(weight_KIO.dtype)


def _filled(features, index, num_rows):
    """Rows `index` of `features`, filled up with zeros to `num_rows`."""
    if len(index) == num_rows:
        return features.index_select(0, index)
    rows = features.new_zeros(num_rows, features.shape[1])
    torch.index_select(features, 0, index, out=rows[: len(index)])
    return rows
