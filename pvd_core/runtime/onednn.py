"""float32 and bfloat16 products through oneDNN, which torch ships beside MKL.

N rows, I input channels, O output channels.

On AMD processors torch's own float32 products run AVX2 code of MKL; oneDNN uses AVX-512 and takes half the time on
Zen 5 (345 against 170 GFLOP/s on 2 cores), a tenth less on Zen 4. oneDNN compiles a kernel of about 0.6 MB for every
new shape and keeps it, and row counts differ in every scan; so callers cut rows into pieces of few sizes, which recur.
"""

import functools

import torch

_IS_AVAILABLE = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")

# Fewer rows take little longer than these.
LEAST_ROWS = 64


def is_usable_for(tensor: torch.Tensor) -> bool:
    """Whether `product` takes rows of this type, on this device and processor."""
    if not _IS_AVAILABLE or tensor.device.type != "cpu":
        return False
    return tensor.dtype == torch.float32 or (tensor.dtype == torch.bfloat16 and has_bfloat16())


@functools.cache
def has_bfloat16() -> bool:
    """Whether oneDNN multiplies bfloat16 on this processor; with AVX2 alone it does not."""
    ones = torch.ones(1, 8, dtype=torch.bfloat16)
    try:
        # Asked by trying: the processor's flags know nothing of ONEDNN_MAX_CPU_ISA.
        product(ones, ones)
    except (RuntimeError, AttributeError):
        return False
    return True


def product(rows_NI, matrix_OI, bias_O=None, relu=False):
    """rows @ matrix.T + bias, then ReLU if asked for. `matrix_OI` may be a transposed view."""
    return torch.ops.mkldnn._linear_pointwise(rows_NI, matrix_OI, bias_O, "relu" if relu else "none", [], "")


def power_of_two(num_rows):
    """The smallest power of two that is at least `num_rows` and LEAST_ROWS."""
    return max(LEAST_ROWS, 1 << (num_rows - 1).bit_length())
