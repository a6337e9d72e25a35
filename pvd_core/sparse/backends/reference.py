"""The plain torch backend: any device, autograd, deterministic.

out[o] = sum over pairs (i, o, k) of x[i] @ W[k].  I input channels, O output channels, K taps, M pairs, R runs of pairs
(pvd_core/sparse/runs.py), L taps in a run, N rows of one product.

A run of L pairs is one row of L * I channels; the matrices of its taps, one below the other, are one matrix. The
products of all runs go into one buffer, where a gather-sum for each output row adds them up in a fixed order, so that
results do not depend on the number of threads. An `index_add_` for each tap would be 2 to 10 times slower at 8 to 32
channels on CPUs.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch.nn import functional

from pvd_core.sparse.backends.products import Cut, add_outer_product, cuts
from pvd_core.sparse.kernel_map import KernelMap
from pvd_core.sparse.runs import Runs


def convolve(features_VI: torch.Tensor, weight_KIO: torch.Tensor, kernel_map: KernelMap) -> torch.Tensor:
    """Features of the output sites, (V_out, O), in the operands' dtype, differentiable in features and weight. Sums are
    taken in float32."""
    return _Convolve.apply(features_VI, weight_KIO, kernel_map)


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features_VI: torch.Tensor, weight_KIO: torch.Tensor, kernel_map: KernelMap) -> torch.Tensor:
        features_VI = features_VI.contiguous()
        ctx.save_for_backward(features_VI, weight_KIO)
        ctx.kernel_map = kernel_map
        return _gather_multiply_sum(features_VI, _in_order_of_runs(weight_KIO, kernel_map), kernel_map.runs)

    @staticmethod
    def backward(ctx: Any, grad_VO: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None, None]:
        features_VI, weight_KIO = ctx.saved_tensors
        needs_features, needs_weight, _ = ctx.needs_input_grad
        grad_VO, transposed = grad_VO.contiguous(), ctx.kernel_map.transposed
        weight_KOI = _in_order_of_runs(weight_KIO.transpose(1, 2), transposed)
        # Both gradients need the same rows of the output's gradient, so these are gathered once.
        sums = _WeightGradient(features_VI, weight_KOI, transposed.runs) if needs_weight else None
        grad_features_VI = None
        if needs_features:
            grad_features_VI = _gather_multiply_sum(grad_VO, weight_KOI, transposed.runs, sums.add if sums else None)
        elif sums:
            pieces = _pieces(transposed.runs, grad_VO, features_VI.shape[1])
            for piece, rows_NO in _gathered(grad_VO, transposed.runs, pieces):
                sums.add(piece, rows_NO)
        grad_weight_KIO = _in_order_of_runs(sums.result(), transposed).transpose(1, 2) if sums else None
        return grad_features_VI, grad_weight_KIO, None


def _in_order_of_runs(weight_KIO: torch.Tensor, kernel_map: KernelMap) -> torch.Tensor:
    """A transposed map has its runs in reverse order of the taps."""
    return weight_KIO.flip(0) if kernel_map.is_transposed else weight_KIO


def _gather_multiply_sum(
    features_VI: torch.Tensor,
    weight_KIO: torch.Tensor,
    runs: Runs,
    also: "Callable[[_Piece, torch.Tensor], None] | None" = None,
) -> torch.Tensor:
    """(V_out, O). `also(piece, rows)` is called with the gathered rows of each product."""
    num_out, out_channels = len(runs.first_run_V), weight_KIO.shape[2]
    if not runs.groups:
        return features_VI.new_zeros(num_out, out_channels)
    pieces = _pieces(runs, features_VI, out_channels)
    products_RO = features_VI.new_empty(len(runs.out_index_R), out_channels)
    weight_KIO, taps = weight_KIO.contiguous(), None
    gathered = _gathered(features_VI, runs, pieces)
    for (piece, rows_NI), products_NO in zip(gathered, products_RO.split(_sizes(pieces)), strict=True):
        if piece.taps != taps:
            taps = piece.taps
            matrix_IO = weight_KIO[taps].view(-1, out_channels)
        piece.cut.multiply_into(products_NO, rows_NI, matrix_IO)
        if also is not None:
            also(piece, rows_NI)
    return functional.embedding_bag(runs.run_numbers_R, products_RO, runs.first_run_V, mode="sum")


class _WeightGradient:
    """Sums of many products: in float32 even where the products are not."""

    def __init__(self, features_VI: torch.Tensor, weight_KOI: torch.Tensor, transposed_runs: Runs) -> None:
        self._features_VI, self._runs, self._dtype = features_VI, transposed_runs, weight_KOI.dtype
        dtype = torch.promote_types(weight_KOI.dtype, torch.float32)
        self._sums_KOI = torch.zeros(weight_KOI.shape, dtype=dtype, device=weight_KOI.device)

    def add(self, piece: "_Piece", rows_NO: torch.Tensor) -> None:
        """Adds the runs of a piece of the transposed map. Padding rows are multiplied by zeros."""
        rows_NI = self._features_of(piece)
        add_outer_product(self._sums_KOI[piece.taps].view(-1, rows_NI.shape[1]), rows_NO, rows_NI)

    def result(self) -> torch.Tensor:
        return self._sums_KOI.to(self._dtype)

    def _features_of(self, piece: "_Piece") -> torch.Tensor:
        num_rows, num_padded, _ = piece.cut
        index_N = self._runs.out_index_R[piece.start : piece.start + num_rows]
        if num_padded == num_rows:
            return self._features_VI.index_select(0, index_N)
        rows_NI = self._features_VI.new_zeros(num_padded, self._features_VI.shape[1])
        torch.index_select(self._features_VI, 0, index_N, out=rows_NI[:num_rows])
        return rows_NI


class _Piece(NamedTuple):
    """Runs that are multiplied at once."""

    taps: slice  # of each run
    start: int  # number of the first one
    cut: Cut


def _pieces(runs: Runs, features_VI: torch.Tensor, out_channels: int) -> list[_Piece]:
    pieces, start = [], 0
    for tap, length, num_runs in runs.groups:
        taps = slice(tap, tap + length)
        for cut in cuts(num_runs, length * features_VI.shape[1], out_channels, features_VI):
            pieces.append(_Piece(taps, start, cut))
            start += cut.num_rows
    return pieces


def _sizes(pieces: list[_Piece]) -> list[int]:
    return [piece.cut.num_rows for piece in pieces]


def _gathered(features_VI: torch.Tensor, runs: Runs, pieces: list[_Piece]) -> Iterator[tuple[_Piece, torch.Tensor]]:
    """Yields (piece, its rows (N, L * I)). A large product evicts Python's own data from the cache, so as little as
    possible is done between two of them."""
    num_rows, channels = features_VI.shape
    taps = None
    for piece, index_N in zip(pieces, runs.first_in_R.split(_sizes(pieces)), strict=True):
        if piece.taps != taps:
            taps, length = piece.taps, piece.taps.stop - piece.taps.start
            # A run is L successive rows. In this view, whose rows overlap, it is one longer row.
            overlapping = features_VI.as_strided((num_rows - length + 1, length * channels), (channels, 1))
        missing = piece.cut.num_padded - piece.cut.num_rows
        yield piece, overlapping.index_select(0, functional.pad(index_N, (0, missing)) if missing else index_N)
