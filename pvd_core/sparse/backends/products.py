"""Matrix products of the rows of neighbouring taps, cut into parts. N rows, I input channels, O output channels."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch

from pvd_core.runtime import onednn

# Operands and result of a product are used again at once: they should still be in the cache (best of 0.5 to 4 MB).
_CUT_BYTES = 1 << 21
# A call costs as much as about these multiply-accumulates: rows that may be added where that saves a call.
_CALL_MACS = 1 << 22
# A call of oneDNN costs more than one of MKL, whose results also lie where they are wanted, without a copy: products of
# fewer multiply-accumulates are MKL's.
_LEAST_MACS = 1 << 24
# So are narrow ones, which wait for memory.
_LEAST_CHANNELS = 64


class Cut(NamedTuple):
    """Some of the rows of a product, to be multiplied at once."""

    num_rows: int
    num_padded: int  # what the rows must be padded to, with any
    multiply_into: Callable  # result (num_rows, O), rows (num_padded, I), matrix (I, O): result = rows @ matrix


def cuts(num_rows, in_channels, out_channels, features):
    """The Cuts of a product of `num_rows` of `features`: a list, in the order of the rows."""
    if features.device.type != "cpu":
        return [Cut(num_rows, num_rows, _multiply)]
    row_bytes, row_macs = features.element_size() * (in_channels + out_channels), in_channels * out_channels
    most = 1 << max(_CUT_BYTES // row_bytes, onednn.LEAST_ROWS).bit_length()
    most_padding = min(most // 4, _CALL_MACS // row_macs)
    least_macs = _least_macs(features, in_channels, out_channels)
    is_onednn = features.dtype == torch.float32 and least_macs < math.inf
    result = []
    while num_rows > 0:
        if num_rows < most and num_rows * row_macs < least_macs:
            return [*result, Cut(num_rows, max(num_rows, onednn.LEAST_ROWS), _multiply)]
        size = min(most, onednn.power_of_two(num_rows))
        if size > onednn.LEAST_ROWS and size - num_rows > (0 if least_macs else most_padding):
            size //= 2
        result.append(Cut(min(size, num_rows), size, _multiply_by_onednn if is_onednn else _multiply))
        num_rows -= size
    return result


def add_outer_product(sum_IO, rows_NI, rows_NO):
    """sum += rows_NI.T @ rows_NO, the sum in float32 or wider."""
    # float32 by MKL: oneDNN would first turn the operands round, which takes half as long as the product.
    if rows_NI.dtype == sum_IO.dtype:
        sum_IO.addmm_(rows_NI.t(), rows_NO)
    else:
        sum_IO.add_(torch.mm(rows_NI.t(), rows_NO))


def _multiply(result_NO, rows_NI, matrix_IO):
    if len(rows_NI) == len(result_NO):
        torch.mm(rows_NI, matrix_IO, out=result_NO)
    else:
        result_NO.copy_(torch.mm(rows_NI, matrix_IO)[: len(result_NO)])


def _multiply_by_onednn(result_NO, rows_NI, matrix_IO):
    result_NO.copy_(onednn.product(rows_NI, matrix_IO.t())[: len(result_NO)])


def _least_macs(features, in_channels, out_channels):
    """Multiply-accumulates from which a product is oneDNN's, whose row counts should recur. torch's own bfloat16
    products all are. MKL's depend on the number of threads, except, as measured, those of at least 64 rows with 8, 16,
    32, ... columns."""
    if not onednn.is_usable_for(features):
        return math.inf
    if features.dtype == torch.bfloat16 or out_channels % 8 != 0 or out_channels.bit_count() != 1:
        return 0
    return _LEAST_MACS if min(in_channels, out_channels) >= _LEAST_CHANNELS else math.inf
