"""Official Cylinder3D and PVKD checkpoints -> our weights (spec 1.8-1.10).

Every width is read from tensor shapes. Convolution weights become (K, C_in, C_out). With `as_trained` kernels the nine
slices that spconv 1.x really used are kept; the other eighteen of a decoder's third convolution may be NaN.
"""

import math
import pickle
import re
from collections import OrderedDict
from pathlib import Path

import torch
from safetensors import SafetensorError

from pvd_core.models.blocks import KERNEL_PLANS
from pvd_core.models.build import build_model
from pvd_core.weights import WeightsError, load_state, save_weights

LAYOUTS = ("spconv1", "spconv2")

_POINT = "cylinder_3d_generator."
_SPARSE = "cylinder_3d_spconv_seg."

# Official names of a block's layers -> ours; the norm of `conv1` is `bn0` in residual blocks, `bn1` in up-blocks.
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


def convert_checkpoint(source, destination, layout, kernels):
    """Writes the official checkpoint `source` as weights `destination`; returns the facts written. WeightsError for a
    file that is no such checkpoint."""
    state, settings = converted_state(read_checkpoint(source), layout, kernels, str(source))
    model = build_model(settings)
    load_state(model, state, source=str(source))
    facts = {"converted_from": Path(source).name, "layout": layout}
    save_weights(destination, model, facts)
    return {**facts, "model": settings}


def read_checkpoint(path):
    """The state_dict in a pickled checkpoint, read without running code; a wrapping dictionary is looked through."""
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
    return OrderedDict(state)


def converted_state(official, layout, kernels, source="checkpoint"):
    """(our state_dict, settings for build_model) of an official state_dict."""
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


def _our_name(name):
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


def _point_name(name):
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


def _used_taps(our_name, kernels):
    """Taps to keep: the first nine of a decoder's third convolution as trained, else all (None)."""
    is_third = re.fullmatch(r"backbone\.decoder\.\d\.post\.2\.conv\.weight", our_name)
    return math.prod(KERNEL_PLANS[kernels].decoder[2]) if is_third else None


def _convolution_weight(tensor, layout, used_taps):
    if layout == "spconv2":
        tensor = tensor.permute(1, 2, 3, 4, 0)
    return tensor.reshape(-1, *tensor.shape[3:])[:used_taps].contiguous()


def _settings(state, kernels, source):
    def tensor(name):
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
