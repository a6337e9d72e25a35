"""Weights that learned from the first point of each voxel start a run that gets the moments of its points."""

import pytest
import torch

from pvd_core.borders.errors import UserError
from pvd_core.clouds.history import PastScans
from pvd_core.models.build import build_model
from pvd_core.weights import save_weights
from pvd_core.weights.facts import past_scans_facts
from training.run.config import load_config
from training.run.initial_weights import initial_state, remarks_on_initial

CUBES = {"voxel_size": 2.0}
MOMENTS = {**CUBES, "features": "moments"}


def cubes(family="minkunet", ratio=0.125, grid=CUBES):
    return {"architecture": family, "channel_ratio": ratio, "grid": grid}


@pytest.fixture
def saved(tmp_path):
    def to_file(model):
        torch.manual_seed(0)
        network = build_model(model).eval()
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.safetensors"
        save_weights(path, network, past_scans_facts(PastScans(2, time=True)) if network.grid.time else {})
        return network, str(path)

    return to_file


def started(path, model, *overrides):
    """A network that begins with these weights."""
    network = build_model(model).eval()
    network.load_state_dict(initial_state(path, network, load_config(None, ["dataset=none", *overrides])))
    return network


def single_points():
    """A scan with one point a voxel, in the middle of each: a step of the moments is 8 mm."""
    generator = torch.Generator().manual_seed(1)
    cells = torch.unique(torch.randint(-6, 6, (400, 3), generator=generator), dim=0)
    return torch.cat((2.0 * cells, torch.rand(len(cells), 1, generator=generator).mul(256).round() / 256), dim=1)


@pytest.mark.parametrize("family", ["minkunet", "spvcnn"])
@pytest.mark.parametrize("overrides", [(), ("initial_widen=true",)])
def test_voxels_of_one_point_give_what_they_gave(saved, family, overrides):
    before, path = saved(cubes(family))
    wanted = cubes(family, 0.25 if overrides else 0.125, MOMENTS)
    network = started(path, wanted, *overrides, f"initial_weights={path}")
    one, other = (each(each.grid.voxelise([single_points()])).voxel_logits_VC for each in (before, network))
    torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-4)


def test_a_slice_may_get_moments_too(saved):
    before, path = saved(cubes(ratio=0.25))
    network = started(path, cubes(ratio=0.125, grid=MOMENTS), "initial_slice=true", f"initial_weights={path}")
    weight, wide = (each.state_dict()["backbone.stem.0.conv.weight"] for each in (network, before))
    assert torch.equal(weight[:, :4], wide[:, :, : weight.shape[2]])
    assert not weight[:, 4:].any()


@pytest.mark.parametrize(
    ("learned", "wanted", "words"),
    [
        (MOMENTS, CUBES, "learned with grid.features moments, this run has first: set model to null"),
        ({**CUBES, "time": True}, {**MOMENTS, "time": True}, "learned with grid.features first, this run has moments"),
    ],
)
def test_what_would_have_to_be_forgotten_or_moved_is_refused(saved, learned, wanted, words):
    _, path = saved(cubes(grid=learned))
    with pytest.raises(UserError, match=words):
        started(path, cubes(grid=wanted))


def test_it_is_said_and_not_as_another_grid(saved):
    _, path = saved(cubes())
    model = "model={architecture: minkunet, channel_ratio: 0.125, grid: {voxel_size: 2.0, features: moments}}"
    config = load_config(None, ["dataset=none", model, f"initial_weights={path}"])
    (line,) = remarks_on_initial(path, config)
    assert "means over the points of a voxel begin as its first point, deviations count nothing at first" in line
    assert "learned on grid" not in line
