"""Cuts one large matrix product into parts, each for the library that is fastest at its size.

N rows, I input channels, O output channels.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch

from pvd_core.runtime import onednn

# Operands and result of a part should stay in the cache, as they are used again at once (best of 0.5 to 4 MB).
_CUT_BYTES = 1 << 21
# A call costs about as much as these multiply-accumulates. So many may be wasted on padding rows that save a call.
_CALL_MACS = 1 << 22
# Products of fewer multiply-accumulates go through MKL: a call of oneDNN costs more, and its result must be copied.
_LEAST_MACS = 1 << 24
# So do products with fewer channels, whose time goes into memory accesses.
_LEAST_CHANNELS = 64


class Cut(NamedTuple):
    """Some of the rows of a product, to be multiplied at once."""

    num_rows: int
    num_padded: int  # number of rows after padding; what the padding rows hold does not matter
    multiply_into: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], None]
    """(result (num_rows, O), rows (num_padded, I), matrix (I, O)): result = rows @ matrix, without the padding."""


def cuts(num_rows: int, in_channels: int, out_channels: int, features: torch.Tensor) -> list[Cut]:
    """The Cuts, in the order of the rows, of a product of `num_rows` rows that have the dtype and device of
    `features`."""
    if features.device.type != "cpu":
        return [Cut(num_rows, num_rows, _multiply)]
    row_bytes, row_macs = features.element_size() * (in_channels + out_channels), in_channels * out_channels
    most = 1 << max(_CUT_BYTES // row_bytes, onednn.LEAST_ROWS).bit_length()
    most_padding = min(most // 4, _CALL_MACS // row_macs)
    least_macs = _least_macs(features, in_channels, out_channels)
    is_onednn = features.dtype == torch.float32 and least_macs < math.inf
    result: list[Cut] = []
    while num_rows > 0:
        if num_rows < most and num_rows * row_macs < least_macs:
            return [*result, Cut(num_rows, max(num_rows, onednn.LEAST_ROWS), _multiply)]
        size = min(most, onednn.power_of_two(num_rows))
        if size > onednn.LEAST_ROWS and size - num_rows > (0 if least_macs else most_padding):
            size //= 2
        result.append(Cut(min(size, num_rows), size, _multiply_by_onednn if is_onednn else _multiply))
        num_rows -= size
    return result


def add_outer_product(sum_IO: torch.Tensor, rows_NI: torch.Tensor, rows_NO: torch.Tensor) -> None:
    """Adds rows_NI.T @ rows_NO to `sum_IO`, which is float32 or wider."""
    # float32 goes through MKL: oneDNN would first transpose the operands, which takes half as long as the product.
    if rows_NI.dtype == sum_IO.dtype:
        sum_IO.addmm_(rows_NI.t(), rows_NO)
    else:
        sum_IO.add_(torch.mm(rows_NI.t(), rows_NO))


def _multiply(result_NO: torch.Tensor, rows_NI: torch.Tensor, matrix_IO: torch.Tensor) -> None:
    if len(rows_NI) == len(result_NO):
        torch.mm(rows_NI, matrix_IO, out=result_NO)
    else:
        result_NO.copy_(torch.mm(rows_NI, matrix_IO)[: len(result_NO)])


def _multiply_by_onednn(result_NO: torch.Tensor, rows_NI: torch.Tensor, matrix_IO: torch.Tensor) -> None:
    result_NO.copy_(onednn.product(rows_NI, matrix_IO.t())[: len(result_NO)])


def _least_macs(features: torch.Tensor, in_channels: int, out_channels: int) -> float:
    """Products of at least so many multiply-accumulates go through oneDNN; their numbers of rows should recur. bfloat16
    products of torch always do. MKL's results depend on the number of threads, except, as measured, those of at least
    64 rows with 8, 16, 32, ... columns; all others therefore go through oneDNN."""
    if not onednn.is_usable_for(features):
        return math.inf
    if features.dtype == torch.bfloat16 or out_channels % 8 != 0 or out_channels.bit_count() != 1:
        return 0
    return _LEAST_MACS if min(in_channels, out_channels) >= _LEAST_CHANNELS else math.inf
