"""A wide network that starts as a narrow one: the same outputs, and copies that part ways."""

import json

import numpy as np
import pytest
import torch
from tiny_dataset import TINY_MODEL, random_scan, write_dataset

from pvd_core.borders.errors import UserError
from pvd_core.models import build_model
from pvd_core.weights import load_model
from training.distil.widening import widened_state
from training.run.config import load_config
from training.run.loop import train

_CUBES = {"grid": {"voxel_size": 2.0}}
PAIRS = {
    "cylinder3d": (TINY_MODEL, {**TINY_MODEL, "width": 8, "point_mlp_widths": [16], "num_point_features": 8}),
    "cylinder3d, three times": (TINY_MODEL, {**TINY_MODEL, "width": 12, "refinement_widths": [24]}),
    "cylinder3d, another grid": (TINY_MODEL, {**TINY_MODEL, "width": 8, "grid": {"shape": [48, 36, 8]}}),
    "minkunet": (
        {"architecture": "minkunet", "channel_ratio": 0.125, **_CUBES},
        {"architecture": "minkunet", "channel_ratio": 0.25, **_CUBES},
    ),
    "spvcnn": (
        {"architecture": "spvcnn", "channel_ratio": 0.125, **_CUBES},
        {"architecture": "spvcnn", "channel_ratio": 0.25, **_CUBES},
    ),
}


def network(settings, seed=0):
    """With random norms too, as a trained network has them."""
    torch.manual_seed(seed)
    model = build_model(settings).eval()
    for name, tensor in model.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2)
        elif tensor.is_floating_point() and tensor.dim() == 1:
            tensor.add_(torch.randn_like(tensor) * 0.2)
    return model


@pytest.mark.parametrize("pair", PAIRS)
def test_a_widened_network_computes_what_the_narrow_one_does(pair):
    narrow, wide = network(PAIRS[pair][0]), network(PAIRS[pair][1], seed=1)
    wide.load_state_dict(widened_state(narrow, wide, torch.Generator().manual_seed(2)))
    assert wide.num_parameters > 1.5 * narrow.num_parameters
    if narrow.grid.settings() != wide.grid.settings():
        return  # other voxels
    points = torch.from_numpy(random_scan(np.random.default_rng(3))[0])
    batch = narrow.grid.voxelise([points])
    with torch.no_grad():
        expected, found = narrow(batch), wide(batch)
    for name in ("voxel_logits_VC", "point_logits_PC"):
        one, other = getattr(expected, name), getattr(found, name)
        if one is not None:
            assert one.abs().max() > 0.1
            assert (one - other).abs().max() <= 1e-4 * one.abs().max(), name


def test_copies_of_a_channel_part_ways():
    narrow, wide = network(TINY_MODEL), build_model({**TINY_MODEL, "width": 8})
    wide.load_state_dict(widened_state(narrow, wide, torch.Generator().manual_seed(2)))
    batch = narrow.grid.voxelise([torch.from_numpy(random_scan(np.random.default_rng(3))[0])])
    wide.train()(batch).voxel_logits_VC.square().mean().backward()
    gradient = wide.get_parameter("backbone.stem.branch_a.0.conv.weight").grad
    first, second = gradient[..., ::2], gradient[..., 1::2]
    assert (first - second).abs().max() > 0.05 * gradient.abs().max()


@pytest.mark.parametrize("settings", [{**TINY_MODEL, "width": 6}, {**TINY_MODEL, "width": 2}, PAIRS["minkunet"][0]])
def test_what_is_no_multiple_is_refused(settings):
    narrow, wide = network(TINY_MODEL), build_model(settings)
    with pytest.raises(UserError, match=r"cannot be widened .* expected layers of 2, 3"):
        widened_state(narrow, wide, torch.Generator())


def test_training_starts_from_the_widened_network_and_resumes(tmp_path, monkeypatch):
    dataset = write_dataset(tmp_path / "drive", {"00": 2, "08": 1})
    short = [f"dataset={dataset}", "max_steps=1", "batch_size=1", "validation.every_steps=0", "num_threads=1"]
    config = load_config(None, [*short, f"model={json.dumps(TINY_MODEL)}"])
    narrow = train(config, tmp_path / "narrow")["last_weights"]
    wide = [*short, f"model={json.dumps({**TINY_MODEL, 'width': 8})}", f"initial_weights={narrow}"]
    with pytest.raises(UserError, match="cut out of a wider one, or widened"):
        load_config(None, [*wide, "initial_widen=true", "initial_slice=true"])
    still = [*wide, "initial_widen=true", "optimizer.learning_rate=1e-12"]
    found, facts = load_model(train(load_config(None, still), tmp_path / "wide")["last_weights"])
    expected = widened_state(load_model(narrow)[0], found, torch.Generator().manual_seed(0))
    weight = "backbone.stem.branch_a.0.conv.weight"
    assert torch.allclose(found.state_dict()[weight], expected[weight], atol=1e-6)
    assert [each["sequences"] for each in facts["ancestors"]] == [["00"]]
