"""Weights for the 25 classes of the multi-scan task, random but for one class that every point gets."""

import torch

from pvd_core.models import build_model
from pvd_core.taxonomy import SEMANTICKITTI_MULTISCAN
from pvd_core.weights import save_weights


def save_multiscan_weights(path, class_name="moving-car", **facts):
    """Writes them to `path` and returns it; every measured point is labelled `class_name`. `facts`: more of them."""
    torch.manual_seed(0)
    network = build_model({"name": "cylinder3d-compact", "num_classes": SEMANTICKITTI_MULTISCAN.num_classes})
    network.label_layer.bias.data[SEMANTICKITTI_MULTISCAN.id_of(class_name)] = 1e4
    save_weights(path, network.eval(), {"taxonomy": SEMANTICKITTI_MULTISCAN.name, **facts})
    return path
