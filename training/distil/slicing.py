"""First weights of a narrow network, such as a student, cut out of a wide one: the first channels of every layer."""

import torch

from pvd_core.borders.errors import UserError


def sliced_state(wide_network, narrow_network):
    """A state for `narrow_network` whose tensors are slices of the other's; both Cylinder3D, on any grids.

    The classifier and the refinement read a concatenation of two halves; those of the narrow one come from
    the halves of the wide one.
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
        fits = wide is not None and wide.dim() == tensor.dim()
        if not fits or any(few > many for few, many in zip(tensor.shape, wide.shape, strict=True)):
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


# (tensor, axis) that runs along the concatenated features: head weight (K, I, O), linear weight (O, I).
_CONCATENATED = (("head.conv.weight", 1), ("refinement.from_voxel.weight", 1), ("refinement.linear.weight", 1))


def _kept(num_wide, num_narrow, halves):
    wide, narrow = num_wide // halves, num_narrow // halves
    return torch.cat([torch.arange(narrow) + half * wide for half in range(halves)])
