"""Number formats of the network: what its products take; sums, norms and probabilities stay in float32."""

import contextlib

import torch

from pvd_core.errors import UserError

# autocast's dtype; None where there is no autocast. tf32 is float32 whose products keep 10 bits of the fraction.
PRECISIONS = {"fp32": None, "tf32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def check_precision(precision, device):
    """UserError for a precision that `device` does not compute in."""
    if precision not in PRECISIONS:
        raise UserError(f"precision {precision!r}: expected one of {', '.join(PRECISIONS)}")
    if precision in ("fp16", "tf32") and device.type == "cpu":
        raise UserError(f"precision {precision!r} is for GPUs; take bf16 or fp32 on the CPU")


@contextlib.contextmanager
def computing_in(precision, device_type, keeps_casts=True):
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
