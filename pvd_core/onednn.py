"""float32 and bfloat16 products through oneDNN, which torch ships beside MKL.

N rows, I input channels, O output channels.

On AMD processors torch's own float32 products run AVX2 code of MKL; oneDNN uses AVX-512 and takes half the time
(measured on Zen 5, 2 cores: 345 against 170 GFLOP/s). oneDNN compiles a kernel for every new shape, which takes longer
than most products here, and row counts differ in every scan; so callers round them up to buckets, which recur.
"""

import torch

_IS_AVAILABLE = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")

_DTYPES = (torch.float32, torch.bfloat16)


def is_usable_for(tensor):
    return _IS_AVAILABLE and tensor.dtype in _DTYPES and tensor.device.type == "cpu"


def product(rows_NI, matrix_OI, bias_O=None, relu=False):
    """rows @ matrix.T + bias, then ReLU if asked for. `matrix_OI` may be a transposed view."""
    return torch.ops.mkldnn._linear_pointwise(rows_NI, matrix_OI, bias_O, "relu" if relu else "none", [], "")


def row_bucket(num_rows):
    """The next of four sizes an octave that is at least `num_rows`; multiples of 16."""
    step = max(16, 1 << max(num_rows - 1, 1).bit_length() >> 3)
    return -(-num_rows // step) * step
