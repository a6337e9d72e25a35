"""Training by several processes, the ranks, which `torchrun` starts: how they are connected, what they agree on.

A batch is cut into equal shares, one for each rank, and the first rank writes all files. Losses and batch statistics
are those of the whole batch (`pvd_core.runtime.ranks`), so they do not depend on the number of ranks.
"""

import datetime
import os
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.distributed
from lightning.fabric import Fabric
from lightning.fabric.plugins.precision.double import DoublePrecision
from lightning.fabric.strategies import DDPStrategy

from pvd_core.borders.errors import UserError
from pvd_core.runtime.ranks import num_ranks
from pvd_core.segmenter import resolve_device
from training.run.config import TrainConfig

# The others wait in a collective while the first rank validates, which for a large split takes longer than torch's
# default of ten minutes. Should a rank end, torchrun notices at once.
_TIMEOUT = datetime.timedelta(hours=4)
# The weightiest last.
_REASONS = (None, "max_minutes", "interrupted")

_Result = TypeVar("_Result")


def launched_fabric(config: TrainConfig) -> Fabric:
    """The Fabric of a run on this rank's device, connected to the other ranks where torchrun started some.

    `config.precision` is resolved, as by `with_precision`. UserError where batch size or devices do not fit the ranks.
    """
    world_size = _num_started()
    if world_size > 1:
        return _fabric_of_ranks(config, world_size)
    device = resolve_device(config.device)
    devices = [device.index or 0] if device.type == "cuda" else 1
    return Fabric(accelerator=device.type, devices=devices, **_number_format(config))


class _Float64(DoublePrecision):
    """Keeps the losses in float64; Fabric would return them in float32."""

    def convert_output(self, data: Any) -> Any:
        return data


def _number_format(config: TrainConfig) -> dict[str, Any]:
    """The arguments of Fabric that choose the config's precision."""
    if config.precision == "fp64":
        return {"plugins": _Float64()}
    return {"precision": {"fp32": "32-true", "bf16": "bf16-mixed"}[config.precision]}


def check_single_process(command: str, hint: str = "") -> None:
    """UserError where torchrun started several processes of `command`: each of them would act as a rank of one run.
    `hint` is added to the message."""
    num_processes = _num_started()
    if num_processes > 1:
        raise UserError(
            f"torchrun started {num_processes} processes of {command}, which does not share a run between processes: "
            f"start it without torchrun{hint}"
        )


def _num_started() -> int:
    """Number of processes that torchrun started; 1 without it."""
    return int(os.environ["WORLD_SIZE"]) if torch.distributed.is_torchelastic_launched() else 1


def _fabric_of_ranks(config: TrainConfig, world_size: int) -> Fabric:
    if config.batch_size % world_size:
        raise UserError(
            f"batch_size is {config.batch_size}, for {world_size} processes: it is the number of scans of all of them "
            "together and must be a multiple of their number"
        )
    device = resolve_device(config.device)
    if device.index is not None:
        raise UserError(
            f"device is {config.device}, for {world_size} processes: set it to {device.type}; each takes one of its own"
        )
    ranks_per_node = int(os.environ["LOCAL_WORLD_SIZE"])
    if device.type == "cuda" and ranks_per_node > torch.cuda.device_count():
        raise UserError(
            f"{ranks_per_node} processes on a machine with {torch.cuda.device_count()} GPUs: start one a GPU "
            "(torchrun --nproc-per-node), or set device to cpu"
        )
    # Buffers are equal on all ranks already. The argument has a new name in torch 2.13, which warns about the old one.
    warnings.filterwarnings("ignore", message="`broadcast_buffers` is deprecated")
    strategy = DDPStrategy(
        timeout=_TIMEOUT, broadcast_buffers=False, find_unused_parameters=not _reaches_every_parameter(config)
    )
    fabric = Fabric(
        accelerator=device.type,
        strategy=strategy,
        devices=ranks_per_node,
        num_nodes=world_size // ranks_per_node,
        **_number_format(config),
    )
    fabric.launch()
    return fabric


def _reaches_every_parameter(config: TrainConfig) -> bool:
    """Whether every parameter gets a gradient, which DDP has to know; it depends on the factors of the losses."""
    # CD's linear map gets gradients only from the feature term, which may be switched off; what any method learns gets
    # none after the teacher's last step.
    distillation = config.distillation
    is_left_out = distillation is not None and (distillation.method == "cd" or distillation.until_step is not None)
    return config.loss.scored == {"voxels", "points"} and not is_left_out


def agreed_reason(reason: str | None, device: torch.device) -> str | None:
    """The weightiest of all ranks' reasons to stop (see StopRequest.reason), so that they stop together."""
    if num_ranks() == 1:
        return reason
    code = torch.tensor(_REASONS.index(reason), device=device)
    torch.distributed.all_reduce(code, torch.distributed.ReduceOp.MAX)
    return _REASONS[int(code.item())]


def on_first_rank(function: Callable[[], _Result], fabric: Fabric) -> _Result:
    """Calls `function()` on the first rank and returns its result, a small plain object, on all ranks.

    Where it raises UserError, that is raised on the first rank; the others exit silently.
    """
    outcome: list[Any] = [None, None]
    if fabric.is_global_zero:
        try:
            outcome[1] = function()
        except UserError as error:
            outcome[0] = error
    if num_ranks() > 1:
        torch.distributed.broadcast_object_list(outcome, src=0)
    failure, result = outcome
    if failure is not None:
        raise failure if fabric.is_global_zero else SystemExit(1)
    return result
