"""What official checkpoints of Cylinder3D hold: their names of tensors, ours, and the kernel of each convolution."""

import re

from pvd_core.models.blocks import KERNEL_PLANS

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

# The kernel of each layer as the checkpoint stores it, whatever spconv 1.x applied; 3x3x3 where it is not listed.
_STORED = KERNEL_PLANS["as_written"]
_KERNELS_AS_STORED: dict[str, tuple[int, int, int]] = {
    **{f"stem.branch_a.{i}": kernel for i, kernel in enumerate(_STORED.stem)},
    **{f"stem.branch_b.{1 - i}": kernel for i, kernel in enumerate(_STORED.stem)},
    **{f"encoder.branch_a.{i}": kernel for i, kernel in enumerate(_STORED.encoder)},
    **{f"encoder.branch_b.{1 - i}": kernel for i, kernel in enumerate(_STORED.encoder)},
    **{f"decoder.post.{i}": kernel for i, kernel in enumerate(_STORED.decoder)},
    **{f"context.gates.{i}": kernel for i, kernel in enumerate(_STORED.context)},
}


def our_name(name: str) -> str | None:
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


def stored_kernel(our_name: str) -> tuple[int, int, int]:
    """The kernel of a convolution as the checkpoint stores it, by our name of its weight."""
    # Part and layer, without the number of the block: "encoder.branch_a.0".
    layer = re.sub(r"^backbone\.|(?<=coder)\.\d+|\.conv\.weight$|\.weight$", "", our_name)
    return _KERNELS_AS_STORED.get(layer, (3, 3, 3))
