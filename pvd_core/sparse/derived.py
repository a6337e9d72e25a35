"""What is computed from a weight and kept until the weight changes: its casts and layouts, for inference."""

import torch
from torch.utils.weak import WeakTensorKeyDictionary

# Kept for as long as the weight lives: weight -> (its state, {name: tensor}).
_KEPT = WeakTensorKeyDictionary()


def derived(weight, name, build):
    """`build(weight)`, a new tensor without gradients, computed once for each name and state of `weight`. What is
    written through `weight.data` leaves no trace in its state: write to the weight itself, without gradients."""
    if weight.is_inference():  # Such a tensor does not say when it changes.
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


def forget(weight):
    """To be called where gradients flow to `weight`: fused optimizers change it without a trace in its version."""
    _KEPT.pop(weight, None)
