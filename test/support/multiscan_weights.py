"""Weights for the 25 classes of the multi-scan task, random but for one class that every point gets."""

import torch

from pvd_core.models import build_model
from pvd_core.models.build import grid_of
from pvd_core.taxonomy import SEMANTICKITTI_MULTISCAN
from pvd_core.weights import save_weights


def save_multiscan_weights(path, class_name="moving-car", with_time=False, **facts):
    """Writes them to `path` and returns it; every measured point is labelled `class_name`. `with_time`: the network
    takes the time of points. `facts`: more of them."""
    torch.manual_seed(0)
    settings = {"name": "cylinder3d-compact", "num_classes": SEMANTICKITTI_MULTISCAN.num_classes}
    if with_time:
        settings["grid"] = {**grid_of(settings).settings(), "time": True}
        facts["scan_time"] = True
    network = build_model(settings)
    network.label_layer.bias.data[SEMANTICKITTI_MULTISCAN.id_of(class_name)] = 1e4
    save_weights(path, network.eval(), {"taxonomy": SEMANTICKITTI_MULTISCAN.name, **facts})
    return path
