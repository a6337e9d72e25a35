"""Initial weights of a narrow network, such as a student, cut out of a wide one: the first channels of every layer."""

import operator
from collections.abc import Sequence

import torch

from pvd_core.borders.errors import UserError
from pvd_core.models import Network


def sliced_state(wide_network: Network, narrow_network: Network) -> dict[str, torch.Tensor]:
    """A state_dict for `narrow_network`, whose tensors are slices of those of `wide_network`, a network of the same
    family; grids may differ.

    Where a layer reads concatenated tensors, its slice takes the first channels of each. UserError where a tensor of
    the wide network is missing or smaller.
    """
    of_wide, state = wide_network.state_dict(), {}
    wide_parts, narrow_parts = parts_of(wide_network), parts_of(narrow_network)
    for name, tensor in narrow_network.state_dict().items():
        wide = of_wide.get(name)
        if wide is None or wide.dim() != tensor.dim() or any(map(operator.gt, tensor.shape, wide.shape)):
            found = "no such tensor" if wide is None else "x".join(map(str, wide.shape))
            raise UserError(
                f"the network cannot start from a slice of initial_weights: {name} has shape "
                f"{'x'.join(map(str, tensor.shape))}, there {found}; a slice is the first channels of a wider network "
                "of the same family with as many blocks; weights of the same network want initial_slice false"
            )
        for axis, size in enumerate(tensor.shape):
            key = name, axis
            kept = _kept(wide_parts.get(key, (wide.shape[axis],)), narrow_parts.get(key, (size,)))
            wide = wide.index_select(axis, kept)
        state[name] = wide.clone()
    return state


def parts_of(network: Network) -> dict[tuple[str, int], tuple[int, ...]]:
    """{(tensor, axis): sizes of what is concatenated there}."""
    return {(each.name, each.axis): each.sizes for each in network.concatenations}


def _kept(wide_sizes: Sequence[int], narrow_sizes: Sequence[int]) -> torch.Tensor:
    """Indices of the channels that are kept: the first ones of each part."""
    starts = [sum(wide_sizes[:number]) for number in range(len(wide_sizes))]
    return torch.cat([start + torch.arange(size) for start, size in zip(starts, narrow_sizes, strict=True)])
