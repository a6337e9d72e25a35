"""The plain torch backend: any device, autograd, deterministic.

out[o] = sum over pairs (i, o, k) of x[i] @ W[k].  I input channels, O output channels, K taps, M pairs.

One matrix product a tap into a buffer of all pairs, then one gather-sum an output row. Each sum runs over the pairs in
tap order, so results do not depend on the number of threads; it replaces an `index_add_` a tap, which is 2 to 10 times
slower at 8 to 32 channels on CPUs.
"""

import torch

from pvd_core.sparse.backends.products import add_outer_product, multiply_into, piece_sizes


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
        if not ctx.needs_input_grad[0]:
            return None, _weight_gradient(features_VI, grad_VO, weight_KIO, ctx.kernel_map), None
        transposed = weight_KIO.transpose(1, 2), ctx.kernel_map.transposed
        if not ctx.needs_input_grad[1]:
            return _gather_multiply_sum(grad_VO, *transposed), None, None
        # Both need the same rows of the output's gradient: gathered once.
        sums = _WeightGradient(features_VI, weight_KIO, ctx.kernel_map)
        grad_features_VI = _gather_multiply_sum(grad_VO, *transposed, also=sums.add)
        return grad_features_VI, sums.result(), None


def _gather_multiply_sum(features_VI, weight_KIO, kernel_map, also=None):
    """`also(tap, first pair, end of pairs, rows)` is called with the rows of each product; those beyond the pairs that
    only fill it up are any others."""
    num_out, out_channels = kernel_map.num_out, weight_KIO.shape[2]
    if kernel_map.num_pairs == 0:
        return features_VI.new_zeros(num_out, out_channels)
    # Rows that only fill up a piece spill into the part of the next one, which then overwrites them.
    pieces = list(_pieces(kernel_map, features_VI, out_channels))
    products_MO = features_VI.new_empty(max(start + num_rows for _, start, _, num_rows in pieces), out_channels)
    in_index_M = kernel_map.padded_in_index(len(products_MO))
    own = kernel_map.own_pairs
    for tap, start, end, num_rows in pieces:
        stop = start + num_rows
        if own.start <= start and stop <= own.stop:
            rows_I = features_VI[start - own.start : stop - own.start]
        else:
            rows_I = features_VI.index_select(0, in_index_M[start:stop])
        multiply_into(products_MO[start:stop], rows_I, weight_KIO[tap])
        if also is not None:
            also(tap, start, end, rows_I)
    pair_numbers_M, first_pair_V = kernel_map.pairs_by_output
    return torch.nn.functional.embedding_bag(pair_numbers_M, products_MO, first_pair_V, mode="sum")


def _weight_gradient(features_VI, grad_VO, weight_KIO, kernel_map):
    sums = _WeightGradient(features_VI, weight_KIO, kernel_map)
    for tap, start, end, num_rows in _pieces(kernel_map, features_VI, grad_VO.shape[1]):
        sums.add(tap, start, end, _filled(grad_VO, kernel_map.out_index_M[start:end], num_rows))
    return sums.result()


class _WeightGradient:
    """Sums of many products: in float32 even where the products are not."""

    def __init__(self, features_VI, weight_KIO, kernel_map):
        self._features_VI, self._in_index_M, self._dtype = features_VI, kernel_map.in_index_M, weight_KIO.dtype
        dtype = torch.promote_types(weight_KIO.dtype, torch.float32)
        self._sums_KIO = torch.zeros(weight_KIO.shape, dtype=dtype, device=weight_KIO.device)

    def add(self, tap, start, end, rows_O):
        """Adds pairs `start` to `end`; `rows_O` may have more rows, whose partners are zeros."""
        rows_I = _filled(self._features_VI, self._in_index_M[start:end], len(rows_O))
        add_outer_product(self._sums_KIO[tap], rows_I, rows_O)

    def result(self):
        return self._sums_KIO.to(self._dtype)


def _pieces(kernel_map, features_VI, out_channels):
    """(tap, first pair, end of pairs, rows) of each product; the last one of a tap may have more rows than pairs."""
    for tap, start, end in kernel_map.taps:
        for num_rows in piece_sizes(end - start, features_VI.shape[1], out_channels, features_VI):
            yield tap, start, min(start + num_rows, end), num_rows
            start += num_rows


def _filled(features, index, num_rows):
    """Rows `index` of `features`, filled up with zeros to `num_rows`."""
    if len(index) == num_rows:
        return features.index_select(0, index)
    rows = features.new_zeros(num_rows, features.shape[1])
    torch.index_select(features, 0, index, out=rows[: len(index)])
    return rows
