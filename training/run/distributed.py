"""Training by several processes, the ranks, which `torchrun` starts: how they are connected, what they agree on.

A batch is cut into equal shares, the first rank writes all files. Losses and batch statistics are those of the whole
batch (`pvd_core.runtime.ranks`), so the settings give the same losses whatever the number of ranks.
"""

import datetime
import os
import warnings
from typing import Any

import torch
import torch.distributed
from lightning.fabric import Fabric
from lightning.fabric.plugins.precision.double import DoublePrecision
from lightning.fabric.strategies import DDPStrategy

from pvd_core.borders.errors import UserError
from pvd_core.runtime.ranks import num_ranks
from pvd_core.segmenter import resolve_device

# The first rank validates while the others wait in a collective: a large validation split takes longer than torch's
# ten minutes. A rank that ends is noticed at once, by torchrun.
_PATIENCE = datetime.timedelta(hours=4)
_REASONS = (None, "max_minutes", "interrupted")


def launched_fabric(config):
    """The Fabric of a TrainConfig, whose precision is resolved, on this rank's device, connected to the other ranks
    where torchrun started some."""
    world_size = _num_started()
    if world_size > 1:
        return _fabric_of_ranks(config, world_size)
    device = resolve_device(config.device)
    devices = [device.index or 0] if device.type == "cuda" else 1
    return Fabric(accelerator=device.type, devices=devices, **_number_format(config))


class _Float64(DoublePrecision):
    """float64 also for the losses, which Fabric would give out in float32."""

    def convert_output(self, data: Any) -> Any:
        return data


def _number_format(config):
    """What Fabric is told of the config's precision."""
    if config.precision == "fp64":
        return {"plugins": _Float64()}
    return {"precision": {"fp32": "32-true", "bf16": "bf16-mixed"}[config.precision]}


def check_single_process(command, hint=""):
    """Refuses what `command` does under torchrun with several processes, each of which would take itself for a rank."""
    num_processes = _num_started()
    if num_processes > 1:
        raise UserError(
            f"torchrun started {num_processes} processes of {command}, which does not share a run between processes: "
            f"start it without torchrun{hint}"
        )


def _num_started():
    """Processes that torchrun started; 1 without it."""
    return int(os.environ["WORLD_SIZE"]) if torch.distributed.is_torchelastic_launched() else 1


def _fabric_of_ranks(config, world_size):
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
    # Buffers are equal on all ranks already. The argument has a new name in torch 2.13, which warns of the old one.
    warnings.filterwarnings("ignore", message="`broadcast_buffers` is deprecated")
    strategy = DDPStrategy(
        timeout=_PATIENCE, broadcast_buffers=False, find_unused_parameters=not _reaches_every_parameter(config)
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


def _reaches_every_parameter(config):
    """Whether the factors of the losses are such that every parameter gets a gradient: DDP wants to be told."""
    on_voxels, on_points = config.loss.cross_entropy or config.loss.lovasz, config.loss.point_cross_entropy
    # CD's linear map learns from one of its two terms.
    return bool(on_voxels and on_points) and (config.distillation is None or config.distillation.method != "cd")


def agreed_reason(reason, device):
    """The weightiest reason to stop (as StopRequest.reason) of all ranks: one that is asked stops all."""
    if num_ranks() == 1:
        return reason
    code = torch.tensor(_REASONS.index(reason), device=device)
    torch.distributed.all_reduce(code, torch.distributed.ReduceOp.MAX)
    return _REASONS[code.item()]


def on_first_rank(function, fabric):
    """What `function()` returns on the first rank, a small plain object. Where it raises UserError, the other ranks end
    without a word."""
    outcome = [None, None]
    if fabric.is_global_zero:
        try:
            outcome[1] = function()
        except UserError as error:
            outcome[0] = error
    if num_ranks() > 1:
        torch.distributed.broadcast_object_list(outcome, src=0)
    error, result = outcome
    if error is not None:
        raise error if fabric.is_global_zero else SystemExit(1)
    return result
