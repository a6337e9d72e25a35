"""Matrix products of a tap's rows. N rows, I input channels, O output channels."""

import torch

from pvd_core import onednn

# Narrower outer products take longer in oneDNN, which first turns their operands round.
_LEAST_CHANNELS = 64


def multiply_into(result_NO, rows_NI, matrix_IO):
    """result = rows @ matrix."""
    # torch's own bfloat16 products are oneDNN's already, and write where they are told to.
    if onednn.is_usable_for(rows_NI) and rows_NI.dtype == torch.float32:
        result_NO.copy_(onednn.product(rows_NI, matrix_IO.t()))
    else:
        torch.mm(rows_NI, matrix_IO, out=result_NO)


def add_outer_product(sum_IO, rows_NI, rows_NO):
    """sum += rows_NI.T @ rows_NO, the sum in float32 or wider."""
    if onednn.is_usable_for(rows_NI) and rows_NI.dtype == torch.float32 and min(sum_IO.shape) >= _LEAST_CHANNELS:
        sum_IO.add_(onednn.product(rows_NI.t(), rows_NO.t()))
    elif rows_NI.dtype == sum_IO.dtype:
        sum_IO.addmm_(rows_NI.t(), rows_NO)
    else:
        sum_IO.add_(torch.mm(rows_NI.t(), rows_NO))


def row_bucket(num_rows, features):
    """Rows that a product is given for `num_rows` that it needs."""
    return onednn.row_bucket(num_rows) if onednn.is_usable_for(features) else num_rows
