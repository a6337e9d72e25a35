"""Number formats in which a network multiplies; sums, norms and probabilities stay in float32."""

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path

import torch

from pvd_core.borders.errors import UserError
from pvd_core.runtime import onednn

# dtype for autocast; None: no autocast. tf32 is float32 whose products round the fraction to 10 bits.
PRECISIONS: dict[str, torch.dtype | None] = {"fp32": None, "tf32": None, "bf16": torch.bfloat16, "fp16": torch.float16}

_FLAGS_OF_BF16 = ("amx_bf16", "avx512_bf16", "bf16")


def resolve_precision(precision: str, device: torch.device) -> str:
    """One of PRECISIONS: `precision` itself, or for `auto` bf16 if `device` has it in hardware and fp32 if not.
    UserError for an unknown name and for a precision in which `device` does not compute."""
    if precision == "auto":
        return "bf16" if _has_bf16_in_hardware(device) else "fp32"
    if precision not in PRECISIONS:
        raise UserError(f"precision {precision!r}: expected auto or one of {', '.join(PRECISIONS)}")
    if device.type == "cpu" and precision in ("fp16", "tf32"):
        raise UserError(f"precision {precision!r} is for GPUs; take auto, bf16 or fp32 on the CPU")
    if device.type == "cpu" and precision == "bf16" and not onednn.has_bfloat16():
        raise UserError(
            "precision 'bf16': this processor has no bfloat16 products, they need AVX-512 or AMX; take fp32, or auto, "
            "which chooses what the processor has"
        )
    return precision


@functools.cache
def bf16_flags() -> tuple[str, ...]:
    """Names of the processor's features that multiply bfloat16 in hardware."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ()
    flags = next((line.split() for line in lines if line.startswith(("flags", "Features"))), [])
    return tuple(flag for flag in _FLAGS_OF_BF16 if flag in flags)


def _has_bf16_in_hardware(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return bool(bf16_flags()) and onednn.has_bfloat16()


def widened(values: torch.Tensor) -> torch.Tensor:
    """`values` in float32, or unchanged if they are float64. Losses and statistics are computed in this dtype."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


@contextlib.contextmanager
def computing_in(precision: str, device_type: str, keeps_casts: bool = True) -> Iterator[None]:
    """A context in which networks compute in `precision`, one of PRECISIONS. `keeps_casts`: whether autocast keeps the
    weights that it converted. A CUDA graph must not: they would lie in memory that belongs to the graph."""
    dtype, before = PRECISIONS[precision], torch.get_float32_matmul_precision()
    # Both torch and the triton backend read this setting.
    torch.set_float32_matmul_precision("high" if precision == "tf32" else before)
    try:
        with torch.autocast(device_type, dtype, enabled=dtype is not None, cache_enabled=keeps_casts):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
