"""Converts official checkpoints of MinkUNet, SPVCNN and SPVNAS (torchsparse) to our weights.

K kernel taps, I input and O output channels. torchsparse stores the taps of 3x3x3 kernels with x fastest, those of
2x2x2 kernels with z fastest; ours have z fastest. Its class scores lack the ignored class, which ours have first.
"""

import contextlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from pvd_core.borders.errors import UserError
from pvd_core.models.build import build_model, check_model_settings
from pvd_core.models.channels import MOST_CHANNELS
from pvd_core.models.unet_plan import BlockPlan, StagePlan, UNetPlan, plan_settings, ratio_plan
from pvd_core.weights import WeightsError, load_state, save_weights
from pvd_core.weights.convert import read_checkpoint
from pvd_core.weights.net_config import read_net_config
from pvd_core.weights.official_unets import NUM_CLASSES, layer_names, searched_layer_names

ARCHITECTURES = ("minkunet", "spvcnn", "spvnas")
_USUAL_RATIOS = (1.0, 0.64, 0.5, 0.25)
_FIELDS = {"kernel": "weight"}


def convert_unet(
    source: str | Path, destination: str | Path, architecture: str, net_config: str | Path | None = None
) -> dict[str, Any]:
    """Converts the official checkpoint `source` and returns the facts written into `destination`. `architecture`: one
    of ARCHITECTURES; `net_config`: the published JSON file that comes with SPVNAS. WeightsError if `source` is no such
    checkpoint."""
    if architecture not in ARCHITECTURES:
        raise WeightsError(f"architecture {architecture!r}: expected one of {', '.join(ARCHITECTURES)}")
    if (architecture == "spvnas") != (net_config is not None):
        what = "comes with a net.config: give it" if architecture == "spvnas" else "has no net.config: leave it out"
        raise WeightsError(f"a checkpoint of {architecture} {what}")
    official = read_checkpoint(source)
    plan, grid = (None, None) if net_config is None else read_net_config(net_config)
    state, settings = converted_unet(official, architecture, plan, str(source))
    if grid is not None:
        settings["grid"] = {"voxel_size": grid.voxel_size}
    model = build_model(settings)
    load_state(model, state, source=str(source))
    facts = {"converted_from": Path(source).name, "layout": "torchsparse", "dataset": "semantickitti"}
    save_weights(destination, model, facts)
    return {**facts, "model": settings}


def converted_unet(
    official: Mapping[str, torch.Tensor], architecture: str, plan: UNetPlan | None = None, source: str = "checkpoint"
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """(our state_dict, settings for build_model) from an official state_dict; `plan` of SPVNAS alone. WeightsError,
    which names `source`, if it is of another network."""
    official = {re.sub(r"^module\.", "", name): tensor for name, tensor in official.items()}
    if plan is None:
        _check_branch(official, architecture, source)
    names = dict(layer_names(_plan_of(official, source)) if plan is None else searched_layer_names(plan))
    state = {}
    for name, tensor in official.items():
        layer, _, field = name.rpartition(".")
        if layer not in names:
            raise WeightsError(f"{source}: unexpected tensor {name}; this is no official checkpoint of {architecture}")
        ours = names[layer]
        if architecture == "minkunet" and ours.startswith("branch."):
            continue  # in the checkpoint, but not used
        state[f"{ours}.{_FIELDS.get(field, field)}"] = _converted(name, tensor, field, source)
    used = _plan_of(official, source) if plan is None else plan
    _check_classifier(state, used.out, plan is not None, source)
    if plan is not None:
        # The larger network's classifier is kept whole; the searched one uses its first columns.
        state["classifier.weight"] = state["classifier.weight"][:, : plan.out].contiguous()
    for name in ("classifier.weight", "classifier.bias"):
        ignored = torch.zeros_like(state[name][:1])
        state[name] = torch.cat((ignored, state[name]))
    settings = {"architecture": "spvcnn" if architecture == "spvnas" else architecture, **_sizes(used)}
    try:
        check_model_settings(settings)
    except UserError as error:
        raise WeightsError(f"{source}: {error}") from error
    return state, settings


def _check_branch(official: Mapping[str, torch.Tensor], architecture: str, source: str) -> None:
    """WeightsError where the point branch tells that the checkpoint is of the other architecture. Both have the branch,
    but a MinkUNet never calls it: the statistics of its norms are as they began. Without statistics nothing tells."""
    started = {"running_mean": 0, "running_var": 1, "num_batches_tracked": 0}
    has_changed = [
        bool((tensor != started[field]).any())
        for name, tensor in official.items()
        for layer, _, field in [name.rpartition(".")]
        if layer.startswith("point_transforms.") and field in started
    ]
    if any(has_changed) and architecture == "minkunet":
        raise WeightsError(
            f"{source}: its point branch has learned, so it is no minkunet: the statistics of the norms in "
            "point_transforms have changed; give --architecture spvcnn"
        )
    if has_changed and not any(has_changed) and architecture == "spvcnn":
        raise WeightsError(
            f"{source}: its point branch has learned nothing, so it is no spvcnn: the statistics of the norms in "
            "point_transforms are as they began; give --architecture minkunet"
        )


def _converted(name: str, tensor: torch.Tensor, field: str, source: str) -> torch.Tensor:
    if field != "kernel":
        return tensor
    if tensor.dim() == 2:
        return tensor[None]
    if tensor.dim() != 3 or tensor.shape[0] not in (8, 27):
        raise WeightsError(f"{source}: {name} has shape {tuple(tensor.shape)}: expected 8 or 27 kernel taps first")
    if tensor.shape[0] == 8:
        return tensor
    return tensor.view(3, 3, 3, *tensor.shape[1:]).transpose(0, 2).reshape(tensor.shape).contiguous()


def _check_classifier(state: Mapping[str, torch.Tensor], channels: int, may_be_wider: bool, source: str) -> None:
    """WeightsError unless the classifier, as the checkpoint has it, gives the scores from `channels`."""
    weight, bias = (state.get(f"classifier.{name}") for name in ("weight", "bias"))
    if weight is None or bias is None:
        raise WeightsError(f"{source}: no classifier; expected an official checkpoint")
    if bias.numel() != NUM_CLASSES:
        raise WeightsError(
            f"{source} has scores for {bias.numel()} classes; expected the {NUM_CLASSES} of SemanticKITTI's "
            "single-scan task"
        )
    fits = weight.dim() == 2 and (weight.shape[1] == channels or (may_be_wider and weight.shape[1] > channels))
    if bias.dim() != 1 or not fits or len(weight) != NUM_CLASSES:
        found = " and ".join("x".join(map(str, tensor.shape)) for tensor in (weight, bias))
        more = " or more" if may_be_wider else ""
        raise WeightsError(
            f"{source}: weight and bias of the classifier have shapes {found}: expected {NUM_CLASSES}x{channels}{more} "
            f"and {NUM_CLASSES}, the classes by the channels before them"
        )


def _plan_of(official: Mapping[str, torch.Tensor], source: str) -> UNetPlan:
    """The channels of MinkUNet or SPVCNN, from the shapes of its norms."""

    def channels(name: str) -> int:
        tensor = official.get(f"{name}.weight")
        if tensor is None or tensor.dim() != 1:
            raise WeightsError(f"{source}: no norm {name}; expected an official checkpoint of MinkUNet or SPVCNN")
        if not 1 <= len(tensor) <= MOST_CHANNELS:
            raise WeightsError(
                f"{source}: {name}.weight has {len(tensor)} values: expected one for each channel, 1 to {MOST_CHANNELS}"
            )
        return len(tensor)

    def stage(step: str, blocks: str, first: int) -> StagePlan:
        plans = (
            BlockPlan(
                channels(f"{blocks}{index}.net.1"),
                channels(f"{blocks}{index}.net.4"),
                projects=f"{blocks}{index}.downsample.1.weight" in official,
            )
            for index in (first, first + 1)
        )
        return StagePlan(channels(f"{step}.0.net.1"), tuple(plans))

    numbers = range(1, 5)
    down = tuple(stage(f"stage{number}", f"stage{number}.", 1) for number in numbers)
    up = tuple(stage(f"up{number}", f"up{number}.1.", 0) for number in numbers)
    return UNetPlan(channels("stem.4"), down, up)


def _sizes(plan: UNetPlan) -> dict[str, Any]:
    """Settings of the network: its channel ratio where the plan is that of one."""
    for ratio in (*_USUAL_RATIOS, plan.stem / 32):
        with contextlib.suppress(ValueError):  # of a stem so wide that there is no such ratio
            if ratio_plan(ratio) == plan:
                return {"channel_ratio": ratio}
    return {"plan": plan_settings(plan)}
