"""What a stage of a network gives while the network runs."""

import contextlib
from collections.abc import Iterator
from typing import Any

from pvd_core.borders.errors import UserError, unknown_name
from pvd_core.models.network import Network
from pvd_core.sparse import SparseTensor


@contextlib.contextmanager
def recorded(network: Network, stage: str) -> Iterator[list[SparseTensor]]:
    """Within the `with` block each run of `network` adds the output of this stage, one of `network.stages`, to the
    list. UserError for an unknown stage, and for one whose output is no SparseTensor."""
    stages, outputs = network.stages, []
    if stage not in stages:
        raise unknown_name("stage of the network", stage, stages)

    def keep(module: Any, inputs: Any, output: object) -> None:
        if not isinstance(output, SparseTensor):
            raise UserError(f"stage {stage!r} of the network gives no features on sites: take one of the backbone")
        outputs.append(output)

    handle = stages[stage].register_forward_hook(keep)
    try:
        yield outputs
    finally:
        handle.remove()
