"""Initial weights of a wide network that computes what a narrow one does, so that what this has learned is not lost:
every channel several times over (Net2Net, Chen et al. 2016, section 2.3)."""

from collections.abc import Sequence

import torch

from pvd_core.borders.errors import UserError
from pvd_core.models import Network
from training.distil.slicing import parts_of

_INPUTS = 1
"""The axis of a weight matrix, or of a kernel's matrices, along which its inputs lie."""
_LEAST_SHARE = 0.25


def widened_state(
    narrow_network: Network, wide_network: Network, generator: torch.Generator
) -> dict[str, torch.Tensor]:
    """A state_dict for `wide_network`, a network of the same family whose layers have 1, 2, 3 ... times the channels,
    with which its outputs are those of `narrow_network`; grids may differ.

    Copies of a channel share what it gave to the next layer, by shares that `generator` draws: with equal ones the
    copies would learn the same for ever. UserError where a tensor is missing, or is no multiple of the narrow one.
    """
    of_narrow, state = narrow_network.state_dict(), {}
    narrow_parts, wide_parts = parts_of(narrow_network), parts_of(wide_network)
    for name, tensor in wide_network.state_dict().items():
        narrow = of_narrow.get(name)
        if narrow is None or narrow.dim() != tensor.dim():
            raise _misfit(name, tensor, narrow)
        values = narrow.clone()
        for axis, size in enumerate(tensor.shape):
            found = narrow_parts.get((name, axis), (narrow.shape[axis],))
            wanted = wide_parts.get((name, axis), (size,))
            if any(many % few for few, many in zip(found, wanted, strict=True)):
                raise _misfit(name, tensor, narrow)
            channels, shares = _copies(found, wanted, generator)
            values = values.index_select(axis, channels)
            if axis == _INPUTS and size != narrow.shape[axis]:
                values = values * shares.to(values.dtype).reshape([-1 if axis == n else 1 for n in range(values.dim())])
        state[name] = values
    return state


def _copies(few: Sequence[int], many: Sequence[int], generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """(channel of the narrow network, share of what it gives) of each channel of the wide one, int64 and float32 (C,).
    Copies lie side by side, so that concatenations keep their order."""
    start, channels, shares = 0, [], []
    for size, wanted in zip(few, many, strict=True):
        copies = wanted // size
        channels.append(start + torch.arange(size).repeat_interleave(copies))
        drawn = _LEAST_SHARE + torch.rand(size, copies, generator=generator)
        shares.append((drawn / drawn.sum(1, keepdim=True)).flatten())
        start += size
    return torch.cat(channels), torch.cat(shares)


def _misfit(name: str, wide: torch.Tensor, narrow: torch.Tensor | None) -> UserError:
    found = "no such tensor" if narrow is None else "x".join(map(str, narrow.shape))
    return UserError(
        f"the network cannot be widened from initial_weights: {name} has shape {'x'.join(map(str, wide.shape))}, there "
        f"{found}; expected layers of 2, 3, ... times as many channels, in a network of the same family"
    )
