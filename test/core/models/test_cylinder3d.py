"""Cylinder3D against the official implementation's outputs, and its sizes against the published counts."""

import numpy as np
import pytest
import torch

from pvd_core.borders.errors import UserError
from pvd_core.models import build_model
from pvd_core.voxels import CylindricalGrid
from pvd_core.weights import load_model, load_state
from pvd_core.weights.convert import convert_checkpoint, converted_state


@pytest.fixture(scope="module")
def golden(shared_golden):
    return np.load(shared_golden / "cylinder3d_tiny.npz")


def official_state(golden):
    prefix = "state_dict/"
    return {name[len(prefix) :]: torch.from_numpy(golden[name]) for name in golden.files if name.startswith(prefix)}


def to_spconv2(state):
    return {name: value.permute(4, 0, 1, 2, 3) if value.dim() == 5 else value for name, value in state.items()}


def voxel_logits(model, points):
    with torch.no_grad():
        return model.eval()(model.grid.voxelise([torch.from_numpy(points)])).voxel_logits_VC.numpy()


def test_grid_indices_features_and_voxels_equal_the_official_ones(golden):
    points = torch.from_numpy(golden["points"])
    grid = CylindricalGrid()

    batch = grid.voxelise([points])

    assert np.array_equal(grid.indices(grid.cylindrical(points)).numpy(), golden["grid_index"])
    assert np.abs(batch.point_features_PF.numpy() - golden["point_features"]).max() < 1e-5
    assert np.array_equal(batch.coords_V4[:, 1:].numpy(), golden["voxels"])


@pytest.mark.parametrize("kernels", ["as_trained", "as_written"])
def test_converted_checkpoint_gives_the_official_logits(golden, kernels):
    state, settings = converted_state(official_state(golden), "spconv1", kernels)
    model = build_model(settings)
    load_state(model, state, "golden")

    logits = voxel_logits(model, golden["points"])

    assert np.abs(logits - golden[f"logits_{kernels}"]).max() < 1e-4


def test_checkpoint_file_with_prefix_and_spconv2_layout_converts_and_loads(golden, tmp_path):
    state = {f"module.{name}": value for name, value in to_spconv2(official_state(golden)).items()}
    torch.save({"state_dict": state}, tmp_path / "official.pt")

    convert_checkpoint(tmp_path / "official.pt", tmp_path / "ours.safetensors", "spconv2", "as_trained")
    model, facts = load_model(tmp_path / "ours.safetensors")

    assert facts["model"]["width"] == 4
    assert facts["model"]["kernels"] == "as_trained"
    assert np.abs(voxel_logits(model, golden["points"]) - golden["logits_as_trained"]).max() < 1e-4


def test_nan_in_slices_that_were_never_trained_is_dropped(golden):
    state = official_state(golden)
    unused = "cylinder_3d_spconv_seg.upBlock0.conv3.weight"
    state[unused] = state[unused].clone()
    state[unused].view(27, -1)[9:] = torch.nan

    converted, settings = converted_state(state, "spconv1", "as_trained")
    load_state(build_model(settings), converted, "golden")

    converted, settings = converted_state(state, "spconv1", "as_written")
    with pytest.raises(UserError, match="not finite"):
        load_state(build_model(settings), converted, "golden")


def test_a_checkpoint_of_another_network_is_named(tmp_path):
    torch.save({"layer.weight": torch.zeros(3)}, tmp_path / "other.pt")

    with pytest.raises(UserError, match=r"unexpected tensor layer\.weight"):
        convert_checkpoint(tmp_path / "other.pt", tmp_path / "ours.safetensors", "spconv1", "as_trained")


@pytest.mark.parametrize("content", [b"", b"not a checkpoint"])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path, content):
    (tmp_path / "broken.pt").write_bytes(content)

    with pytest.raises(UserError, match=r"broken\.pt"):
        convert_checkpoint(tmp_path / "broken.pt", tmp_path / "ours.safetensors", "spconv1", "as_trained")


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        ({"width": 32}, 55_853_366),
        ({"width": 32, "num_voxel_features": 32}, 55_866_694),
        ({"width": 16}, 14_071_542),
        ({"width": 16, "num_classes": 26}, 14_081_916),
        ({"width": 16, "num_classes": 17, "num_point_features": 128}, 14_031_411),
        ({"width": 32, "kernels": "as_trained"}, 49_586_486),
        ({"width": 16, "kernels": "as_trained"}, 12_504_822),
    ],
)
def test_parameter_counts_equal_the_published_ones(settings, count):
    model = build_model({"refinement": "none", **settings})

    assert sum(parameter.numel() for parameter in model.parameters()) == count


@pytest.mark.parametrize("refinement", ["R3", "R1", "none"])
def test_refinement_gives_scores_for_every_point_and_trains(refinement):
    generator = torch.Generator().manual_seed(0)
    scans = [torch.rand(300, 4, generator=generator) * 20, torch.rand(200, 4, generator=generator) * 20]
    model = build_model({"width": 4, "refinement": refinement, "grid": {"shape": (24, 18, 8)}})

    output = model(model.grid.voxelise(scans))

    logits = output.voxel_logits_VC if refinement == "none" else output.point_logits_PC
    logits.logsumexp(dim=1).sum().backward()
    if refinement == "none":
        assert output.point_logits_PC is None
    else:
        assert output.point_logits_PC.shape == (500, 20)
        assert output.point_features_PD.shape[0] == 500
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters() if parameter.grad is not None)


def test_split_first_layer_of_the_refinement_equals_one_layer_on_the_concatenation():
    model = build_model({"width": 4, "grid": {"shape": (24, 18, 8)}}).eval()
    refinement = model.refinement
    voxel, point = torch.randn(7, 16), torch.randn(30, 256)
    point_to_voxel = torch.randint(0, 7, (30,))

    with torch.no_grad():
        logits, _ = refinement(voxel, point, point_to_voxel)
        weight = torch.cat((refinement.from_voxel.weight, refinement.from_point.weight), dim=1)
        fused = torch.cat((voxel[point_to_voxel], point), dim=1) @ weight.t() + refinement.from_point.bias
        hidden = torch.relu(refinement.norm(fused))
        for layer in refinement.layers:
            hidden = layer(hidden)

    assert (logits - refinement.out(hidden)).abs().max() < 1e-5


def test_unknown_model_and_setting_name_the_closest_match():
    with pytest.raises(UserError, match=r"did you mean 'cylinder3d-0\.5x'"):
        build_model("cylinder3d-0.5")
    with pytest.raises(UserError, match="did you mean 'width'"):
        build_model({"widht": 8})
    with pytest.raises(UserError, match="as_trained"):
        build_model({"kernels": "as_read"})


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"width": 0}, "width is 0"),
        ({"width": -3}, "width is -3"),
        ({"width": "abc"}, "width is 'abc'"),
        ({"width": True}, "width is true"),
        ({"grid": [60, 45, 8]}, r"grid is \[60, 45, 8\]: expected settings"),
        ({"grid": 60}, "grid is 60"),
        ({"grid": {"shapes": [60, 45, 8]}}, "unknown grid setting 'shapes'"),
        ({"point_mlp_widths": 64}, "point_mlp_widths is 64: expected a list"),
        ({"refinement_widths": [64, 0]}, "refinement_widths is 0"),
    ],
)
def test_settings_that_make_no_network_are_named(setting, message):
    with pytest.raises(UserError, match=message):
        build_model({"name": "cylinder3d-compact", **setting})
