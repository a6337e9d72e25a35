"""float32 and bfloat16 products through oneDNN, which torch ships beside MKL.

N rows, I input channels, O output channels.

On AMD processors torch's own float32 products run MKL's AVX2 code. oneDNN uses AVX-512: on Zen 5 it takes half the
time (345 instead of 170 GFLOP/s on 2 cores), on Zen 4 nine tenths. oneDNN compiles a kernel of about 0.6 MB for every
new shape and keeps it, so it serves as a measure of what a processor can do and not for clouds of ever new sizes.
"""

import functools

import torch

_IS_AVAILABLE = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def is_usable_for(tensor: torch.Tensor) -> bool:
    """Whether `product` accepts rows of this tensor's dtype on its device."""
    if not _IS_AVAILABLE or tensor.device.type != "cpu":
        return False
    return tensor.dtype == torch.float32 or (tensor.dtype == torch.bfloat16 and has_bfloat16())


@functools.cache
def has_bfloat16() -> bool:
    """Whether oneDNN multiplies bfloat16 on this processor; processors with AVX2 only do not."""
    ones = torch.ones(1, 8, dtype=torch.bfloat16)
    try:
        # The processor's flags would not tell: ONEDNN_MAX_CPU_ISA may forbid what the processor has.
        product(ones, ones)
    except (RuntimeError, AttributeError):
        return False
    return True


def product(
    rows_NI: torch.Tensor, matrix_OI: torch.Tensor, bias_O: torch.Tensor | None = None, relu: bool = False
) -> torch.Tensor:
    """rows @ matrix.T + bias, (N, O), then ReLU if `relu`. All have one dtype, float32 or bfloat16; `matrix_OI` may be
    a transposed view. Without gradient."""
    return torch.ops.mkldnn._linear_pointwise(rows_NI, matrix_OI, bias_O, "relu" if relu else "none", [], "")
