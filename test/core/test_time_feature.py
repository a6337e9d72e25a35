"""Networks that take how many scans back points are: what that changes, and what is refused."""

import numpy as np
import pytest
import torch

from pvd_core.borders.errors import UserError
from pvd_core.clouds.history import PastScans
from pvd_core.models import build_model
from pvd_core.segmenter import Segmenter
from pvd_core.weights import WeightsError, past_scans_of, read_facts, save_weights
from pvd_core.weights.facts import past_scans_facts

CYLINDER = {"width": 4, "num_point_features": 16, "point_mlp_widths": (16,), "grid": {"shape": (48, 36, 8)}}
SETTINGS = {
    "cylinder3d": CYLINDER,
    "minkunet": {"architecture": "minkunet", "channel_ratio": 0.25, "grid": {"voxel_size": 0.5}},
    "spvcnn": {"architecture": "spvcnn", "channel_ratio": 0.25, "grid": {"voxel_size": 0.5}},
}
PAST = PastScans(2, time=True)


def network(family="cylinder3d", time=True):
    torch.manual_seed(0)
    settings = SETTINGS[family]
    return build_model({**settings, "grid": {**settings["grid"], **({"time": True} if time else {})}})


def segmenter(family="cylinder3d", **options):
    return Segmenter(network(family), past_scans_facts(PAST), **options)


def cloud(num_columns=5):
    generator = np.random.default_rng(0)
    xyz = generator.uniform((-20, -20, -1.8), (20, 20, 1), (600, 3))
    return np.column_stack((xyz, generator.random(600), np.arange(600) % 3)).astype(np.float32)[:, :num_columns]


def with_times(value):
    points = cloud()
    points[:, 4] = value
    return points


@pytest.mark.parametrize("family", SETTINGS)
def test_another_time_of_points_is_another_output(family):
    labelling = segmenter(family)
    of_time = [labelling.segment(with_times(value)).confidence for value in (0, 2)]
    assert not np.allclose(*of_time, atol=1e-4)
    points = cloud()
    points[0, 4] += 1  # of a single point
    assert not np.allclose(labelling.segment(cloud()).confidence[0], labelling.segment(points).confidence[0], atol=1e-7)


@pytest.mark.parametrize("family", SETTINGS)
def test_the_output_has_a_gradient_by_the_time(family):
    model = network(family).train()
    points_P5 = torch.from_numpy(cloud()).requires_grad_()
    model(model.grid.voxelise([points_P5]), with_points=True).voxel_logits_VC.square().sum().backward()
    assert points_P5.grad[:, 4].abs().sum() > 0


@pytest.mark.parametrize("family", SETTINGS)
def test_points_without_a_time_are_of_the_newest_scan(family):
    labelling = segmenter(family)
    alone, timed = labelling.segment(cloud(4)), labelling.segment(with_times(0))
    assert (alone.labels == timed.labels).all()
    assert (alone.confidence == timed.confidence).all()
    labelling.warm_up()  # with points without a time


def test_points_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"shape \(600, 3\); expected \(N, 4\): x, y, z, intensity, or \(N, 5\)"):
        segmenter().segment(cloud(3))
    with pytest.raises(ValueError, match=r"shape \(600, 5\); expected \(N, 4\): x, y, z, intensity$"):
        Segmenter(network(time=False)).segment(cloud())


@pytest.mark.parametrize("programs", ["eager", "graphs"])
def test_programs_are_refused_and_auto_does_without(programs):
    with pytest.raises(UserError, match=f"programs '{programs}': these weights take the time of points"):
        segmenter(programs=programs)
    assert not segmenter(programs="auto").runs_programs


def test_weights_say_that_they_take_the_time(tmp_path):
    path = tmp_path / "timed.safetensors"
    save_weights(path, network(), past_scans_facts(PAST))
    facts = read_facts(path)
    assert (facts["scan_time"], facts["model"]["grid"]["time"]) == (True, True)
    assert past_scans_of(facts) == Segmenter.from_weights(path, "cpu").past_scans == PAST
    assert "scan_time" not in past_scans_facts(PastScans(2))


@pytest.mark.parametrize(
    ("time", "facts", "message"),
    [
        (True, past_scans_facts(PastScans(2)), "takes the time of points, but scan_time is False"),
        (False, past_scans_facts(PAST), "takes no time of points, but scan_time is True"),
        (True, {"past_scans": 2, "scan_time": 1}, "scan_time in its header is 1: expected true or false"),
    ],
)
def test_weights_that_contradict_themselves_are_refused(tmp_path, time, facts, message):
    path = tmp_path / "odd.safetensors"
    save_weights(path, network(time=time), facts)
    with pytest.raises(WeightsError, match=message):
        read_facts(path)
    with pytest.raises(UserError, match=message):
        Segmenter(network(time=time), facts)
