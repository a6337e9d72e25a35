"""Matrix products of a tap's rows. N rows, I input channels, O output channels."""

import torch

from pvd_core import onednn


def multiply_into(result_NO, rows_NI, matrix_IO):
    """result = rows @ matrix."""
    # torch's own bfloat16 products are oneDNN's already, and write where they are told to.
    if onednn.is_usable_for(rows_NI) and rows_NI.dtype == torch.float32:
        result_NO.copy_(onednn.product(rows_NI, matrix_IO.t()))
    else:
        torch.mm(rows_NI, matrix_IO, out=result_NO)


def row_bucket(num_rows, features):
    """Rows that a product is given for `num_rows` that it needs."""
    return onednn.row_bucket(num_rows) if onednn.is_usable_for(features) else num_rows
