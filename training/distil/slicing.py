"""Initial weights of a narrow network, such as a student, cut out of a wide one: the first channels of every layer."""

import operator

import torch

from pvd_core.borders.errors import UserError
from pvd_core.models import Cylinder3D


def sliced_state(wide_network: Cylinder3D, narrow_network: Cylinder3D) -> dict[str, torch.Tensor]:
    """A state_dict for `narrow_network`, whose tensors are slices of those of `wide_network`; grids may differ.

    Classifier and refinement read two concatenated halves, so their slices take the first channels of each half.
    UserError where a tensor of the wide network is missing or smaller.
    """
    wide_width, narrow_width = wide_network.config.width, narrow_network.config.width
    if narrow_width > wide_width:
        raise UserError(
            f"the network cannot start from a slice of initial_weights: it has width {narrow_width}, they have "
            f"{wide_width}; a slice is the first channels of a wider network"
        )
    of_wide, state = wide_network.state_dict(), {}
    for name, tensor in narrow_network.state_dict().items():
        wide = of_wide.get(name)
        if wide is None or wide.dim() != tensor.dim() or any(map(operator.gt, tensor.shape, wide.shape)):
            found = "no such tensor" if wide is None else "x".join(map(str, wide.shape))
            raise UserError(
                f"the network cannot start from a slice of initial_weights: {name} has shape "
                f"{'x'.join(map(str, tensor.shape))}, there {found}; weights of the same "
                "network want initial_slice false"
            )
        for axis, size in enumerate(tensor.shape):
            is_concatenation = (name, axis) in _CONCATENATED
            wide = wide.index_select(axis, _kept(wide.shape[axis], size, halves=2 if is_concatenation else 1))
        state[name] = wide.clone()
    return state


# (tensor, axis along the concatenated halves). Shapes: convolution (kernel taps, in, out), linear layer (out, in).
_CONCATENATED = (("head.conv.weight", 1), ("refinement.from_voxel.weight", 1), ("refinement.linear.weight", 1))


def _kept(num_wide: int, num_narrow: int, halves: int) -> torch.Tensor:
    """Indices of the channels that are kept: the first ones of each half (or of the whole)."""
    wide, narrow = num_wide // halves, num_narrow // halves
    return torch.cat([torch.arange(narrow) + half * wide for half in range(halves)])
