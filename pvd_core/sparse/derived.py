"""Keeps what is computed from a weight, such as casts and other layouts, until the weight changes. For inference."""

from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch.utils.weak import WeakTensorKeyDictionary

# weight -> (its state, {name: tensor}); an entry goes when its weight does.
_KEPT: Any = WeakTensorKeyDictionary()


def derived(weight: torch.Tensor, name: Hashable, build: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """`build(weight)`, a new tensor without gradients, computed once for each name and state of `weight`. A write
    through `weight.data` goes unnoticed: write to the weight itself, under `torch.no_grad()`."""
    if weight.is_inference():  # An inference tensor has no version that would tell when it changes.
        return build(weight)
    state = weight._version, weight.data_ptr(), weight.dtype
    kept = _KEPT.get(weight)
    if kept is None or kept[0] != state:
        kept = _KEPT[weight] = state, {}
    if name not in kept[1]:
        # A tensor made in inference mode could not keep derived tensors of its own.
        with torch.inference_mode(False), torch.no_grad():
            kept[1][name] = build(weight)
    return kept[1][name]


def forget(weight: torch.Tensor) -> None:
    """Drops what is kept of `weight`. Call it where gradients flow to the weight: fused optimizers change weights
    without changing their version."""
    _KEPT.pop(weight, None)
