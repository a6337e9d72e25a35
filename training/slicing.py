"""A narrow student's first weights, cut out of a wide teacher: the first channels of every layer."""

import torch

from pvd_core.errors import UserError


def sliced_state(teacher, student):
    """A state for `student` whose tensors are slices of the teacher's; both Cylinder3D, the student nowhere wider.

    The classifier and the refinement read a concatenation of two halves; the student's halves come from the teacher's
    halves.
    """
    of_teacher, state = teacher.state_dict(), {}
    for name, tensor in student.state_dict().items():
        wide = of_teacher.get(name)
        fits = wide is not None and wide.dim() == tensor.dim()
        if not fits or any(few > many for few, many in zip(tensor.shape, wide.shape, strict=True)):
            found = "no such tensor" if wide is None else "x".join(map(str, wide.shape))
            raise UserError(
                f"the student cannot start from a slice of the teacher: {name} has shape "
                f"{'x'.join(map(str, tensor.shape))}, the teacher {found}; start from initial_weights instead"
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
