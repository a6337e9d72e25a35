"""Which operations a program runs, and which of them would make it wait for a GPU."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

# Operations whose result has a length that only the device knows, or that bring a number to the host.
WAITING = ("nonzero", "_local_scalar_dense", "unique", "masked_select", "repeat_interleave", "equal", "lift_fresh")


class Operations(TorchDispatchMode):
    """Notes the name of every operation, and of indexing by a mask as `nonzero`."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.name().split("::")[1].split(".")[0]
        by_mask = name.startswith("index") and any(
            isinstance(index, torch.Tensor) and index.dtype in (torch.bool, torch.uint8)
            for index in (args[1] if len(args) > 1 and isinstance(args[1], list | tuple) else ())
        )
        self.names.add("nonzero" if by_mask else name)
        return function(*args, **(kwargs or {}))
