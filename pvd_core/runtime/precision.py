"""Number formats of the network: what its products take; sums, norms and probabilities stay in float32."""

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path

import torch

from pvd_core.borders.errors import UserError
from pvd_core.runtime import onednn

# autocast's dtype; None where there is no autocast. tf32 is float32 whose products keep 10 bits of the fraction.
PRECISIONS = {"fp32": None, "tf32": None, "bf16": torch.bfloat16, "fp16": torch.float16}

_FLAGS_OF_BF16 = ("amx_bf16", "avx512_bf16", "bf16")


def resolve_precision(precision: str, device: torch.device) -> str:
    """One of PRECISIONS. `auto` is bf16 where `device` has it in hardware, else fp32. UserError for a name that is not
    known or that `device` does not compute in."""
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
    """`values` in float32, or as they are where that is wider: what losses and statistics are computed in."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


@contextlib.contextmanager
def computing_in(precision: str, device_type: str, keeps_casts: bool = True) -> Iterator[None]:
    """A context in which networks compute in `precision`. `keeps_casts`: casts of weights may outlive a call; not so in
    a CUDA graph, whose memory they would lie in."""
    dtype, before = PRECISIONS[precision], torch.get_float32_matmul_precision()
    # torch and the triton backend both go by this setting.
    torch.set_float32_matmul_precision("high" if precision == "tf32" else before)
    try:
        with torch.autocast(device_type, dtype, enabled=dtype is not None, cache_enabled=keeps_casts):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
