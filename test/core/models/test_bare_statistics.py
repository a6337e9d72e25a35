"""Networks label clouds without intensity with statistics of such clouds, and others as they did."""

import numpy as np
import pytest
import torch

from pvd_core.clouds.bare import is_bare
from pvd_core.clouds.judge import judge
from pvd_core.models import build_model
from pvd_core.models.bare_statistics import estimate_bare_statistics, statistics_of, with_statistics
from pvd_core.programs.message import ArrayLayout, is_bare_message
from pvd_core.segmenter import Segmenter
from pvd_core.weights import WeightsError, load_model, save_weights

SETTINGS = {"width": 4, "num_point_features": 16, "point_mlp_widths": (16,), "grid": {"shape": (48, 36, 8)}}


def cloud_of(num_points, seed=0, intensity=None):
    generator = np.random.default_rng(seed)
    points = generator.uniform((-30, -30, -2, 0), (30, 30, 2, 1), (num_points, 4)).astype(np.float32)
    if intensity is not None:
        points[:, 3] = intensity
    return points


def network(**settings):
    torch.manual_seed(0)
    return build_model({**SETTINGS, **settings}).eval()


@pytest.fixture(scope="module")
def model():
    result = network()
    result.bare_statistics = estimate_bare_statistics(
        result, [torch.from_numpy(cloud_of(2000, seed)) for seed in range(3)]
    )
    return result


def same(one, other):
    return np.array_equal(one.labels, other.labels) and np.array_equal(one.confidence, other.confidence)


def test_statistics_are_the_means_of_those_of_each_scan_without_intensity():
    model, clouds = network(refinement="none"), [cloud_of(500, seed) for seed in range(3)]
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    found = estimate_bare_statistics(model, [torch.from_numpy(cloud) for cloud in clouds])

    height = torch.stack([torch.from_numpy(cloud[:, 2].copy()) for cloud in clouds])  # z is the sixth feature
    torch.testing.assert_close(found["point_mlp.in_norm.running_mean"][5], height.mean())
    torch.testing.assert_close(found["point_mlp.in_norm.running_var"][5], height.var(dim=1).mean())
    assert found["point_mlp.in_norm.running_mean"][8] == 0
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_a_network_with_other_statistics_shares_its_parameters(model):
    other = with_statistics(model, model.bare_statistics)
    assert all(mine is yours for mine, yours in zip(model.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(tensor, model.bare_statistics[name]) for name, tensor in statistics_of(other).items())
    assert other.backend is model.backend


@pytest.mark.parametrize("intensity", [0, 0.37])
@pytest.mark.parametrize("programs", ["off", "eager"])
def test_a_cloud_of_one_intensity_is_labelled_with_the_statistics_of_such_clouds(model, intensity, programs):
    bare = Segmenter(with_statistics(model, model.bare_statistics), backend="reference", programs=programs)
    both = Segmenter(model, backend="reference", programs=programs)
    cloud = cloud_of(3000, 9, intensity)
    cloud[::7] = 0  # not measured
    expected = bare.segment(np.where(np.arange(4) == 3, np.float32(0), cloud))
    assert same(both.segment(cloud), expected)
    usual = Segmenter(network(), backend="reference", programs=programs)
    assert not same(usual.segment(cloud), expected)


@pytest.mark.parametrize("programs", ["off", "eager"])
def test_clouds_with_intensity_are_labelled_as_before(model, programs):
    cloud = cloud_of(3000, 9)
    both, usual = (Segmenter(each, backend="reference", programs=programs) for each in (model, network()))
    assert same(both.segment(cloud), usual.segment(cloud))


@pytest.mark.parametrize(("usual", "other"), [(100, 99), (1, 0.5), (0, np.inf), (np.nan, 0.5), (0, 7)])
@pytest.mark.parametrize(("num_other", "expected"), [(0, True), (1, True), (900, True), (1200, False), (3000, False)])
def test_clouds_with_nearly_one_intensity_are_bare_whoever_asks(usual, other, num_other, expected):
    cloud = cloud_of(5000, 1, usual)
    other_at = np.random.default_rng(0).permutation(5000)[:num_other]
    cloud[other_at, 3] = other if num_other < 2 or not np.isfinite(other) else other + other_at
    layout = ArrayLayout(len(cloud))
    expected = expected or not np.nan_to_num([usual, other], posinf=0).any()
    assert is_bare(cloud) == is_bare_message(cloud.tobytes(), layout) == expected
    assert any(remark.kind == "no_intensity" for remark in judge(cloud)) == expected


@pytest.mark.parametrize("programs", ["off", "eager"])
def test_an_intensity_scale_of_0_labels_as_without_intensity(model, programs):
    segmenter = Segmenter(model, backend="reference", programs=programs)
    cloud = cloud_of(3000, 9)
    expected = segmenter.segment(cloud * np.float32([1, 1, 1, 0]))
    assert same(segmenter.segment_bytes(cloud.tobytes(), ArrayLayout(len(cloud)), 0.0), expected)


def test_a_single_point_has_no_intensity_only_if_that_is_0():
    assert is_bare(cloud_of(1, 0, 0))
    assert not is_bare(cloud_of(1, 0, 0.5))
    assert not is_bare(cloud_of(0))


def test_weights_keep_both_kinds_of_statistics(model, tmp_path):
    save_weights(tmp_path / "both.safetensors", model)
    loaded, _ = load_model(tmp_path / "both.safetensors")
    assert loaded.bare_statistics.keys() == model.bare_statistics.keys()
    assert all(torch.equal(loaded.bare_statistics[name], tensor) for name, tensor in model.bare_statistics.items())
    assert torch.equal(loaded.point_mlp.in_norm.running_mean, model.point_mlp.in_norm.running_mean)


def test_incomplete_or_impossible_statistics_are_refused(model, tmp_path):
    broken = network()
    broken.bare_statistics = dict(model.bare_statistics)
    name = "point_mlp.in_norm.running_var"
    broken.bare_statistics[name] = -model.bare_statistics[name]
    save_weights(tmp_path / "negative.safetensors", broken)
    with pytest.raises(WeightsError, match=r"(?s)without_intensity.*variances below 0"):
        load_model(tmp_path / "negative.safetensors")
    del broken.bare_statistics[name]
    save_weights(tmp_path / "missing.safetensors", broken)
    with pytest.raises(WeightsError, match=rf"missing without_intensity\.{name}"):
        load_model(tmp_path / "missing.safetensors")
