"""Converts official checkpoints of Cylinder3D and PVKD to our weights.

The widths of the network are read from the tensors' shapes. Convolution weights become (K, C_in, C_out), K kernel taps.
With `as_trained` kernels a decoder's third convolution keeps the nine of 27 taps that spconv 1.x really used; in the
checkpoint the others may be NaN.
"""

import math
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from pvd_core.models.blocks import KERNEL_PLANS
from pvd_core.models.build import build_model
from pvd_core.weights import WeightsError, load_state, save_weights

LAYOUTS = ("spconv1", "spconv2")

_POINT = "cylinder_3d_generator."
_SPARSE = "cylinder_3d_spconv_seg."

# Official names of a block's layers -> ours. The norm of `conv1` is `bn0` in residual blocks and `bn1` in up-blocks.
_BRANCHES = {
    "conv1": "branch_a.0.conv", "bn0": "branch_a.0.norm", "conv1_2": "branch_a.1.conv", "bn0_2": "branch_a.1.norm",
    "conv2": "branch_b.0.conv", "bn1": "branch_b.0.norm", "conv3": "branch_b.1.conv", "bn2": "branch_b.1.norm",
    "pool": "down",
}  # fmt: skip
_UP_BLOCK = {
    "trans_dilao": "pre.conv", "trans_bn": "pre.norm", "up_subm": "up", "conv1": "post.0.conv", "bn1": "post.0.norm",
    "conv2": "post.1.conv", "bn2": "post.1.norm", "conv3": "post.2.conv", "bn3": "post.2.norm",
}  # fmt: skip
_CONTEXT = {
    "conv1": "0.conv", "bn0": "0.norm", "conv1_2": "1.conv", "bn0_2": "1.norm", "conv1_3": "2.conv", "bn0_3": "2.norm",
}  # fmt: skip


def convert_checkpoint(source: str | Path, destination: str | Path, layout: str, kernels: str) -> dict[str, Any]:
    """Converts the official checkpoint `source` to the weights file `destination` and returns the facts written into
    it. `layout`: one of LAYOUTS, in which spconv stored the weights; `kernels`: one of KERNEL_PLANS. WeightsError if
    `source` is no such checkpoint."""
    state, settings = converted_state(read_checkpoint(source), layout, kernels, str(source))
    model = build_model(settings)
    load_state(model, state, source=str(source))
    facts = {"converted_from": Path(source).name, "layout": layout}
    save_weights(destination, model, facts)
    return {**facts, "model": settings}


def read_checkpoint(path: str | Path) -> dict[str, torch.Tensor]:
    """The state_dict of a pickled checkpoint, also if it is an entry of a dictionary. No code in the file is run.
    Raises WeightsError."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise WeightsError(f"checkpoint {path} does not exist") from error
    except (pickle.UnpicklingError, SafetensorError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise WeightsError(
            f"checkpoint {path}: not a file of tensors that torch can read safely ({type(error).__name__}); is it "
            f"complete?"
        ) from error
    for wrapper in ("state_dict", "model_state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise WeightsError(f"checkpoint {path}: expected a dictionary of tensors, found {type(state).__name__}")
    return state


def converted_state(
    official: Mapping[str, torch.Tensor], layout: str, kernels: str, source: str = "checkpoint"
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """(our state_dict, settings for build_model) from an official state_dict. WeightsError, which names `source`, if it
    is of another network."""
    if layout not in LAYOUTS:
        raise WeightsError(f"layout {layout!r}: expected one of {', '.join(LAYOUTS)}")
    if kernels not in KERNEL_PLANS:
        raise WeightsError(f"kernels {kernels!r}: expected one of {', '.join(KERNEL_PLANS)}")
    official = {re.sub(r"^module\.", "", name): tensor for name, tensor in official.items()}
    state = {}
    for name, tensor in official.items():
        our_name = _our_name(name)
        if our_name is None:
            raise WeightsError(f"{source}: unexpected tensor {name}; this is no official Cylinder3D checkpoint")
        if tensor.dim() == 5:
            tensor = _convolution_weight(tensor, layout, used_taps=_used_taps(our_name, kernels))
        state[our_name] = tensor
    return state, _settings(state, kernels, source)


def _our_name(name: str) -> str | None:
    """Our name of an official tensor; None if Cylinder3D has no such tensor."""
    if name.startswith(_POINT):
        return _point_name(name[len(_POINT) :])
    if not name.startswith(_SPARSE):
        return None
    block, _, rest = name[len(_SPARSE) :].partition(".")
    layer, _, field = rest.rpartition(".")
    if block == "logits":
        return f"head.conv.{field}"
    if block == "downCntx" and layer in _BRANCHES:
        return f"backbone.stem.{_BRANCHES[layer]}.{field}"
    if block == "ReconNet" and layer in _CONTEXT:
        return f"backbone.context.gates.{_CONTEXT[layer]}.{field}"
    if (match := re.fullmatch(r"resBlock([2-5])", block)) and layer in _BRANCHES:
        return f"backbone.encoder.{int(match[1]) - 2}.{_BRANCHES[layer]}.{field}"
    if (match := re.fullmatch(r"upBlock([0-3])", block)) and layer in _UP_BLOCK:
        return f"backbone.decoder.{match[1]}.{_UP_BLOCK[layer]}.{field}"
    return None


def _point_name(name: str) -> str | None:
    if name.startswith("fea_compression.0."):
        return "voxel_compress.linear." + name.rpartition(".")[2]
    match = re.fullmatch(r"PPmodel\.(\d+)\.(\w+)", name)
    if match is None:
        return None
    position, field = int(match[1]), match[2]
    if position == 0:
        return f"point_mlp.in_norm.{field}"
    if position == 10:
        return f"point_mlp.out.{field}"
    layer, part = divmod(position - 1, 3)
    return None if part == 2 else f"point_mlp.layers.{layer}.{('linear', 'norm')[part]}.{field}"


def _used_taps(our_name: str, kernels: str) -> int | None:
    """How many taps to keep: the first nine of a decoder's third convolution as trained; None: all."""
    is_third = re.fullmatch(r"backbone\.decoder\.\d\.post\.2\.conv\.weight", our_name)
    return math.prod(KERNEL_PLANS[kernels].decoder[2]) if is_third else None


def _convolution_weight(tensor: torch.Tensor, layout: str, used_taps: int | None) -> torch.Tensor:
    if layout == "spconv2":
        tensor = tensor.permute(1, 2, 3, 4, 0)
    return tensor.reshape(-1, *tensor.shape[3:])[:used_taps].contiguous()


def _settings(state: Mapping[str, torch.Tensor], kernels: str, source: str) -> dict[str, Any]:
    def tensor(name: str) -> torch.Tensor:
        if name not in state:
            raise WeightsError(f"{source}: no tensor for {name}; expected an official Cylinder3D checkpoint")
        return state[name]

    return {
        "architecture": "cylinder3d",
        "width": tensor("backbone.stem.branch_a.0.norm.weight").shape[0],
        "num_voxel_features": tensor("voxel_compress.linear.weight").shape[0],
        "num_point_features": tensor("point_mlp.out.weight").shape[0],
        "num_classes": tensor("head.conv.bias").shape[0],
        "kernels": kernels,
        "refinement": "none",
    }
