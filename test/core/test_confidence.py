"""Confidences and entropies by the temperature of the weights, on every way from points to labels."""

import numpy as np
import pytest
import torch

from pvd_core.clouds.measured import is_measured
from pvd_core.models import build_model
from pvd_core.models.bare_statistics import statistics_of
from pvd_core.native import library
from pvd_core.programs.message import ArrayLayout
from pvd_core.segmenter import Segmenter

SETTINGS = {"width": 4, "num_point_features": 16, "point_mlp_widths": (16,), "grid": {"shape": (48, 36, 8)}}
TEMPERATURE = 1.7
FACTS = {"confidence": {"temperature": TEMPERATURE}}


def random_cloud(num_points=1500):
    generator = np.random.default_rng(0)
    cloud = generator.uniform((-30, -30, -2, 0), (30, 30, 2, 1), (num_points, 4)).astype(np.float32)
    cloud[::50, :3] = 0
    return cloud


@pytest.fixture(scope="module", params=["R3", "none"])
def model(request):
    torch.manual_seed(0)
    model = build_model({**SETTINGS, "refinement": request.param}).eval()
    batch = Segmenter(model).batch_of(random_cloud()[1:50])
    with torch.no_grad():
        # As different as those of a trained network.
        spread = model(batch).scores_of_points(batch.point_to_voxel_P).std(dim=0).mean()
        model.label_layer.weight.mul_(3 / spread)
    return model


def probabilities_of(model, cloud, temperature):
    """float64 (P, C - 1): those of measured points, from the network's scores."""
    segmenter = Segmenter(model)
    batch = segmenter.batch_of(cloud[is_measured(cloud)])
    scores = segmenter.run_network(batch).scores_of_points(batch.point_to_voxel_P)
    return torch.softmax(scores[:, 1:].double() / temperature, dim=1).numpy()


@pytest.mark.parametrize("engine", ["native", "torch"])
@pytest.mark.parametrize("programs", ["off", "eager"])
def test_confidences_are_the_softmax_of_divided_scores_and_labels_stay(model, programs, engine, monkeypatch):
    if engine == "torch":
        monkeypatch.setattr(library, "status", lambda: (False, ""))
    cloud = random_cloud()
    measured = is_measured(cloud)
    plain = Segmenter(model, programs=programs).segment(cloud)
    tempered = Segmenter(model, FACTS, programs=programs)
    result = tempered.segment(cloud)
    from_bytes = tempered.segment_bytes(cloud.tobytes(), ArrayLayout(len(cloud)))

    expected = probabilities_of(model, cloud, TEMPERATURE).max(axis=1)
    np.testing.assert_array_equal(result.labels, plain.labels)
    np.testing.assert_allclose(result.confidence[measured], expected, atol=1e-4)
    assert not result.confidence[~measured].any()
    assert np.abs(result.confidence - plain.confidence).max() > 0.05
    np.testing.assert_array_equal(from_bytes.confidence, result.confidence)
    assert result.entropy is plain.entropy is None


@pytest.mark.parametrize("programs", ["off", "eager"])
@pytest.mark.parametrize("facts", [{}, FACTS], ids=["1", str(TEMPERATURE)])
def test_entropy_is_that_of_the_tempered_probabilities_from_0_to_1(model, programs, facts):
    cloud = random_cloud()
    measured = is_measured(cloud)
    segmenter = Segmenter(model, facts, programs=programs)
    without, result = segmenter.segment(cloud), segmenter.segment(cloud, with_entropy=True)

    p = probabilities_of(model, cloud, segmenter.temperature)
    expected = -(p * np.log(np.maximum(p, 1e-300))).sum(axis=1) / np.log(p.shape[1])
    assert result.entropy.dtype == np.float32
    assert result.entropy.min() >= 0
    assert result.entropy.max() <= 1
    np.testing.assert_allclose(result.entropy[measured], expected, atol=1e-4)
    assert not result.entropy[~measured].any()
    np.testing.assert_array_equal(result.labels, without.labels)
    np.testing.assert_array_equal(result.confidence, without.confidence)


@pytest.mark.parametrize("programs", ["off", "eager"])
def test_clouds_without_intensity_and_empty_ones_have_entropies_too(model, programs):
    model.bare_statistics = {name: tensor.clone() for name, tensor in statistics_of(model).items()}
    segmenter = Segmenter(model, FACTS, programs=programs)
    model.bare_statistics = None
    bare = random_cloud() * np.float32([1, 1, 1, 0])
    result = segmenter.segment(bare, with_entropy=True)
    expected = probabilities_of(model, bare, TEMPERATURE).max(axis=1)
    np.testing.assert_allclose(result.confidence[is_measured(bare)], expected, atol=1e-4)
    assert result.entropy[is_measured(bare)].max() > 0.1
    empty = segmenter.segment_bytes(b"", ArrayLayout(0), with_entropy=True)
    assert empty.entropy.shape == (0,)


def test_equal_scores_have_entropy_1_and_endless_ones_0():
    from pvd_core.models.output import SegmentationOutput

    scores = torch.zeros(2, 20)
    scores[1, 4] = 1e30
    output = SegmentationOutput(scores, scores[:, :1])
    assert output.entropy_of_points(torch.arange(2)).tolist() == pytest.approx([1, 0], abs=1e-6)
