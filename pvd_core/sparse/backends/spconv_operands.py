"""Checks before spconv and spconv-triton, which read memory outside of operands whose shape is wrong.

V sites, K taps, I input channels, O output channels.
"""

from typing import Any

import torch

from pvd_core.borders.errors import UserError

_DTYPES = (torch.float32, torch.float16)


def check_operands(
    backend: str, features_VI: torch.Tensor, weight_KIO: torch.Tensor, kernel_map: Any, kinds: tuple[type, ...]
) -> None:
    """UserError for a dtype that these packages do not have, TypeError or ValueError for operands that do not match
    each other or the map, which is one of `kinds`."""
    if features_VI.dtype not in _DTYPES:
        raise UserError(
            f"backend {backend!r}: it has no {str(features_VI.dtype).removeprefix('torch.')}; take precision fp32 or, "
            "on GPUs, fp16; or backend 'reference'"
        )
    found = [(tensor.dtype, tensor.device) for tensor in (features_VI, weight_KIO)]
    if found[0] != found[1]:
        raise TypeError(f"features are of {found[0]}, weight of {found[1]}: expected the same dtype and device")
    if type(kernel_map) not in kinds:
        raise TypeError(f"kernel map is {type(kernel_map).__name__}: expected one of Sites whose backend is {backend}")
    num_in, num_taps = kernel_map.num_in, kernel_map.problem.num_taps
    if features_VI.shape != (num_in, weight_KIO.shape[1]) or weight_KIO.shape[0] != num_taps:
        raise ValueError(
            f"features {tuple(features_VI.shape)}, weight {tuple(weight_KIO.shape)}: the kernel map has "
            f"{num_taps} taps and {num_in} input sites"
        )
