"""The plain torch backend: any device, autograd, deterministic.

out[o] = sum over pairs (i, o, k) of x[i] @ W[k].  I input channels, O output channels, K taps, M pairs, R runs of pairs
(pvd_core/sparse/runs.py), L taps in a run, N rows of one product.

A run of L pairs is one row of L * I channels; its taps' matrices, one below the other, are one matrix. The products of
all runs go into one buffer, and one gather-sum an output row adds them up. Each sum has its own order of runs, so that
results do not depend on the number of threads; it replaces an `index_add_` a tap, which is 2 to 10 times slower at 8 to
32 channels on CPUs.
"""

from dataclasses import dataclass

import torch

from pvd_core.sparse.backends.products import add_outer_product, multiply_into, piece_sizes


def convolve(features_VI, weight_KIO, kernel_map):
    """Features of the output sites, (V_out, O), in the operands' dtype, differentiable in features and weight. Sums are
    taken in float32."""
    return _Convolve.apply(features_VI, weight_KIO, kernel_map)


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features_VI, weight_KIO, kernel_map):
        features_VI = features_VI.contiguous()
        ctx.save_for_backward(features_VI, weight_KIO)
        ctx.kernel_map = kernel_map
        return _gather_multiply_sum(features_VI, _in_order_of_runs(weight_KIO, kernel_map), kernel_map.runs)

    @staticmethod
    def backward(ctx, grad_VO):
        features_VI, weight_KIO = ctx.saved_tensors
        needs_features, needs_weight, _ = ctx.needs_input_grad
        grad_VO, transposed = grad_VO.contiguous(), ctx.kernel_map.transposed
        weight_KOI = _in_order_of_runs(weight_KIO.transpose(1, 2), transposed)
        # Both gradients need the same rows of the output's gradient: gathered once.
        sums = _WeightGradient(features_VI, weight_KOI, transposed.runs) if needs_weight else None
        grad_features_VI = None
        if needs_features:
            grad_features_VI = _gather_multiply_sum(grad_VO, weight_KOI, transposed.runs, also=sums and sums.add)
        elif sums:
            for piece in _pieces(transposed.runs, grad_VO, features_VI.shape[1]):
                sums.add(piece, _gather(grad_VO, transposed.runs, piece))
        grad_weight_KIO = sums and _in_order_of_runs(sums.result(), transposed).transpose(1, 2)
        return grad_features_VI, grad_weight_KIO, None


def _in_order_of_runs(weight_KIO, kernel_map):
    """A transposed map has its runs in reverse order of the taps."""
    return weight_KIO.flip(0) if kernel_map.is_transposed else weight_KIO


def _gather_multiply_sum(features_VI, weight_KIO, runs, also=None):
    """`also(piece, rows)` is called with the rows of each product."""
    num_out, out_channels = len(runs.first_run_V), weight_KIO.shape[2]
    if not runs.groups:
        return features_VI.new_zeros(num_out, out_channels)
    # Rows that only fill up a piece spill into the part of the next one, which then overwrites them.
    pieces = list(_pieces(runs, features_VI, out_channels))
    products_RO = features_VI.new_empty(max(piece.start + piece.num_rows for piece in pieces), out_channels)
    weight_KIO = weight_KIO.contiguous()
    for piece in pieces:
        rows_NI = _gather(features_VI, runs, piece)
        matrix_IO = weight_KIO[piece.taps].view(-1, out_channels)
        multiply_into(products_RO[piece.start : piece.start + piece.num_rows], rows_NI, matrix_IO)
        if also is not None:
            also(piece, rows_NI)
    return torch.nn.functional.embedding_bag(runs.run_numbers_R, products_RO, runs.first_run_V, mode="sum")


class _WeightGradient:
    """Sums of many products: in float32 even where the products are not."""

    def __init__(self, features_VI, weight_KOI, transposed_runs):
        self._features_VI, self._runs, self._dtype = features_VI, transposed_runs, weight_KOI.dtype
        dtype = torch.promote_types(weight_KOI.dtype, torch.float32)
        self._sums_KOI = torch.zeros(weight_KOI.shape, dtype=dtype, device=weight_KOI.device)

    def add(self, piece, rows_NO):
        """Adds the runs of a piece of the transposed map. Its rows that only fill it up meet zeros."""
        rows_NI = self._features_of(piece)
        add_outer_product(self._sums_KOI[piece.taps].view(-1, rows_NI.shape[1]), rows_NO, rows_NI)

    def result(self):
        return self._sums_KOI.to(self._dtype)

    def _features_of(self, piece):
        index_N = self._runs.out_index_R[piece.start : piece.end]
        if len(index_N) == piece.num_rows:
            return self._features_VI.index_select(0, index_N)
        rows_NI = self._features_VI.new_zeros(piece.num_rows, self._features_VI.shape[1])
        torch.index_select(self._features_VI, 0, index_N, out=rows_NI[: len(index_N)])
        return rows_NI


@dataclass(frozen=True)
class _Piece:
    """Runs that are multiplied at once."""

    taps: slice  # of each run
    start: int  # its runs are `start` to `end`
    end: int
    num_rows: int  # of the product; where these are more than the runs, any rows fill it up


def _pieces(runs, features_VI, out_channels):
    first_run = 0
    for tap, length, num_runs in runs.groups:
        start, stop = first_run, first_run + num_runs
        for num_rows in piece_sizes(num_runs, length * features_VI.shape[1], out_channels, features_VI):
            yield _Piece(slice(tap, tap + length), start, min(start + num_rows, stop), num_rows)
            start += num_rows
        first_run = stop


def _gather(features_VI, runs, piece):
    """The rows of a piece, (N, L * I)."""
    index_N = runs.first_in_R[piece.start : piece.start + piece.num_rows]
    if len(index_N) < piece.num_rows:
        index_N = torch.nn.functional.pad(index_N, (0, piece.num_rows - len(index_N)))
    # A run is L rows that follow one another: read as one longer row, of a view whose rows overlap.
    (num_rows, channels), length = features_VI.shape, piece.taps.stop - piece.taps.start
    return features_VI.as_strided((num_rows - length + 1, length * channels), (channels, 1)).index_select(0, index_N)
