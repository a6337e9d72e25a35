"""An official checkpoint of Cylinder3D: the names and shapes of the published files, tiny, with random values."""

import torch

from pvd_core.models import build_model
from pvd_core.weights.official import our_name, stored_kernel

_FIELDS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
_BRANCHES = ("conv1", "bn0", "conv1_2", "bn0_2", "conv2", "bn1", "conv3", "bn2", "pool")
_UP_BLOCK = ("trans_dilao", "trans_bn", "up_subm", "conv1", "bn1", "conv2", "bn2", "conv3", "bn3")
_CONTEXT = ("conv1", "bn0", "conv1_2", "bn0_2", "conv1_3", "bn0_3")
_LAYERS = (
    *(f"cylinder_3d_generator.PPmodel.{number}" for number in range(11)),
    "cylinder_3d_generator.fea_compression.0",
    *(f"cylinder_3d_spconv_seg.downCntx.{layer}" for layer in _BRANCHES),
    *(f"cylinder_3d_spconv_seg.resBlock{number}.{layer}" for number in range(2, 6) for layer in _BRANCHES),
    *(f"cylinder_3d_spconv_seg.upBlock{number}.{layer}" for number in range(4) for layer in _UP_BLOCK),
    *(f"cylinder_3d_spconv_seg.ReconNet.{layer}" for layer in _CONTEXT),
    "cylinder_3d_spconv_seg.logits",
)


def official_checkpoint(num_classes=20, layout="spconv1", **settings):
    """Its state_dict. `settings`: of the network, such as num_point_features."""
    torch.manual_seed(1)
    model = build_model(
        {"width": 2, "num_point_features": 8, "refinement": "none", "num_classes": num_classes, **settings}
    )
    state = model.state_dict()
    names = {our_name(name): name for layer in _LAYERS for field in _FIELDS if our_name(name := f"{layer}.{field}")}
    return {names[ours]: _as_stored(ours, tensor, layout) for ours, tensor in state.items()}


def _as_stored(ours, tensor, layout):
    if tensor.dim() != 3:
        return tensor
    tensor = tensor.reshape(*stored_kernel(ours), *tensor.shape[1:])
    return tensor.permute(4, 0, 1, 2, 3).contiguous() if layout == "spconv2" else tensor
