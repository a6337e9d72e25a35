"""Matrix products of a tap's rows. N rows, I input channels, O output channels."""

import torch

from pvd_core import onednn


def multiply_into(result_NO, rows_NI, matrix_IO):
    """result = rows @ matrix."""
    if onednn.is_usable_for(rows_NI):
        result_NO.copy_(onednn.product(rows_NI, matrix_IO.t()))
    else:
        torch.mm(rows_NI, matrix_IO, out=result_NO)


def row_bucket(num_rows, features):
    """Rows that a product is given for `num_rows` that it needs. torch's bfloat16 products on CPUs are oneDNN's too."""
    is_onednn = onednn.is_usable_for(features) or (features.dtype == torch.bfloat16 and features.device.type == "cpu")
    return onednn.row_bucket(num_rows) if is_onednn else num_rows
