"""Matrix products of the rows of neighbouring taps, in pieces. N rows, I input channels, O output channels."""

import torch

from pvd_core import onednn

# Operands and result of a product are used again at once: they should still be in the cache (best of 0.5 to 4 MB).
_PIECE_BYTES = 1 << 21
# A call costs as much as about these multiply-accumulates: rows that may be added where that saves a call.
_CALL_MACS = 1 << 22
# Narrower products wait for memory, and MKL's lie where they are wanted, without a copy.
_LEAST_CHANNELS = 64


def multiply_into(result_NO, rows_NI, matrix_IO):
    """result = rows @ matrix."""
    if _takes_onednn(rows_NI, *matrix_IO.shape):
        result_NO.copy_(onednn.product(rows_NI, matrix_IO.t()))
    else:
        torch.mm(rows_NI, matrix_IO, out=result_NO)


def add_outer_product(sum_IO, rows_NI, rows_NO):
    """sum += rows_NI.T @ rows_NO, the sum in float32 or wider."""
    # oneDNN first turns the operands round: narrow ones take longer than with MKL.
    if min(sum_IO.shape) >= _LEAST_CHANNELS and _takes_onednn(rows_NI, *sum_IO.shape):
        sum_IO.add_(onednn.product(rows_NI.t(), rows_NO.t()))
    elif rows_NI.dtype == sum_IO.dtype:
        sum_IO.addmm_(rows_NI.t(), rows_NO)
    else:
        sum_IO.add_(torch.mm(rows_NI.t(), rows_NO))


def piece_sizes(num_rows, in_channels, out_channels, features):
    """Rows of the products that multiply `num_rows` of `features`: together as many or more."""
    if features.device.type != "cpu":
        return [num_rows]
    row_bytes = features.element_size() * (in_channels + out_channels)
    most = 1 << max(_PIECE_BYTES // row_bytes, onednn.LEAST_ROWS).bit_length()
    whole, rest = divmod(num_rows, most)
    sizes = [most] * whole
    # torch's own bfloat16 products are oneDNN's already.
    if features.dtype == torch.bfloat16 or _takes_onednn(features, in_channels, out_channels):
        sizes += _powers_of_two(rest, min(most // 4, _CALL_MACS // (in_channels * out_channels)))
    elif rest:
        sizes.append(max(rest, onednn.LEAST_ROWS))
    return sizes


def _powers_of_two(num_rows, most_padding):
    """Powers of two that sum up to `num_rows`, or to at most `most_padding` more where that saves one."""
    sizes = []
    while num_rows > 0:
        size = onednn.power_of_two(num_rows)
        if size > onednn.LEAST_ROWS and size - num_rows > most_padding:
            size //= 2
        sizes.append(size)
        num_rows -= size
    return sizes


def _takes_onednn(rows, in_channels, out_channels):
    """Whether a float32 product goes to oneDNN. MKL's depend on the number of threads, except, as measured, those of at
    least 64 rows with 8, 16, 32, ... columns."""
    is_wide = min(in_channels, out_channels) >= _LEAST_CHANNELS
    depends_on_threads = out_channels % 8 != 0 or out_channels.bit_count() != 1
    return (is_wide or depends_on_threads) and rows.dtype == torch.float32 and onednn.is_usable_for(rows)
