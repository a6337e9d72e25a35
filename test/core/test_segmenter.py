import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pvd_core.borders.errors import UserError
from pvd_core.models import build_model
from pvd_core.models.bare_statistics import estimate_bare_statistics
from pvd_core.segmenter import Segmenter, resolve_device
from pvd_core.sparse.backends import reference
from pvd_core.sparse.backends.choose import backend_for
from pvd_core.sparse.backends.triton_table import BlockSizes, LayerShape, _tables, save_measured

SETTINGS = {"width": 4, "num_point_features": 16, "point_mlp_widths": (16,), "grid": {"shape": (48, 36, 8)}}


def random_cloud(num_points, seed=0):
    generator = np.random.default_rng(seed)
    return generator.uniform((-30, -30, -2, 0), (30, 30, 2, 1), (num_points, 4)).astype(np.float32)


@pytest.fixture(params=["R3", "none"])
def segmenter(request):
    return Segmenter(build_model({**SETTINGS, "refinement": request.param}))


def test_every_measured_point_gets_a_class_and_a_confidence(segmenter):
    result = segmenter.segment(random_cloud(2000))

    assert result.labels.dtype == np.uint8
    assert result.labels.min() >= 1
    assert result.labels.max() <= 19
    assert result.confidence.dtype == np.float32
    assert ((result.confidence >= 1 / 19 - 1e-6) & (result.confidence <= 1)).all()
    assert set(result.timings_ms) == {"voxelise", "network", "to_points", "total"}


def test_points_that_are_no_measurement_get_label_0_and_do_not_disturb_the_others(segmenter):
    cloud = random_cloud(500)
    spoilt = np.insert(cloud, [0, 100, 499], np.float32(0), axis=0)
    spoilt[[0, 101]] = [[np.nan, 1, 1, 0.5], [1, np.inf, 1, 0.5]]
    spoilt = np.concatenate((spoilt, np.array([[3e38, 1, 1, 0.5]], np.float32)))
    is_measured = np.ones(len(spoilt), bool)
    is_measured[[0, 101, 501, 503]] = False

    clean, result = segmenter.segment(cloud), segmenter.segment(spoilt)

    assert (result.labels[~is_measured] == 0).all()
    assert (result.confidence[~is_measured] == 0).all()
    assert np.array_equal(result.labels[is_measured], clean.labels)
    assert np.array_equal(result.confidence[is_measured], clean.confidence)


@pytest.mark.parametrize("programs", ["off", "eager"])
@pytest.mark.parametrize("family", ["cylinder3d", "minkunet"])
def test_an_intensity_far_beyond_the_usual_counts_as_the_brightest(family, programs):
    torch.manual_seed(0)
    unet = {"architecture": "minkunet", "channel_ratio": 0.25, "grid": {"voxel_size": 2.0}}
    model = build_model(unet if family == "minkunet" else SETTINGS)
    segmenter = Segmenter(model, {"expected_cloud": {"intensity_95th": 0.6}}, programs=programs)
    cloud = random_cloud(800)
    results = []
    for value in (6.0, 1e4, 1e30, 3e38):
        cloud[::40, 3] = value
        cloud[1::40, 3] = -value
        results.append(segmenter.segment(cloud))
    cloud[::40, 3] = 5.9
    other = segmenter.segment(cloud)

    assert np.isfinite(results[0].confidence).all()
    for result in results[1:]:
        assert np.array_equal(result.labels, results[0].labels)
        assert np.array_equal(result.confidence, results[0].confidence)
    assert not np.array_equal(other.confidence, results[0].confidence)  # up to there it counts


@pytest.mark.parametrize("programs", ["off", "eager"])
def test_intensities_that_all_lie_beyond_the_usual_are_none(programs):
    torch.manual_seed(0)
    model = build_model(SETTINGS)
    clouds = [torch.from_numpy(random_cloud(500, seed) * np.float32((1, 1, 1, 0))) for seed in range(4)]
    model.bare_statistics = estimate_bare_statistics(model, clouds)
    segmenter = Segmenter(model, programs=programs)
    cloud = random_cloud(800)
    cloud[:, 3] = np.where(np.arange(800) % 2, 1e5, 2e5)
    found = segmenter.segment(cloud)
    cloud[:, 3] = 0
    expected = segmenter.segment(cloud)
    assert np.array_equal(found.labels, expected.labels)
    assert np.array_equal(found.confidence, expected.confidence)


def test_an_intensity_that_is_not_finite_counts_as_zero(segmenter):
    cloud = random_cloud(300)
    cloud[::3, 3] = 0
    spoilt = cloud.copy()
    spoilt[::3, 3] = np.nan

    assert np.array_equal(segmenter.segment(spoilt).labels, segmenter.segment(cloud).labels)


@pytest.mark.parametrize(
    "cloud",
    [np.zeros((0, 4)), np.zeros((7, 4)), np.full((3, 4), np.nan), np.full((1, 4), 5.0), np.full((9, 4), 900.0)],
    ids=["empty", "all zero", "all NaN", "one point", "all out of range"],
)
def test_degenerate_clouds_are_labelled(segmenter, cloud):
    result = segmenter.segment(cloud.astype(np.float32))

    is_measured = np.isfinite(cloud).all(axis=1) & (cloud != 0).any(axis=1)
    assert np.array_equal(result.labels > 0, is_measured)


def test_same_cloud_gives_the_same_bits(segmenter):
    cloud = random_cloud(3000)
    first, second = segmenter.segment(cloud), segmenter.segment(cloud)

    assert np.array_equal(first.labels, second.labels)
    assert np.array_equal(first.confidence, second.confidence)


def test_order_of_points_does_not_matter(segmenter):
    cloud = random_cloud(1000)
    order = np.random.default_rng(1).permutation(1000)

    assert np.array_equal(segmenter.segment(cloud[order]).labels, segmenter.segment(cloud).labels[order])


def test_unknown_device_and_precision_are_refused(tmp_path):
    with pytest.raises(UserError, match="expected auto, cpu, cuda"):
        resolve_device("gpu")
    with pytest.raises(UserError, match="torch sees"):
        resolve_device("cuda:99")
    with pytest.raises(UserError, match="precision 'fp8'"):
        Segmenter.from_weights(tmp_path / "none", precision="fp8")
    with pytest.raises(UserError, match="fp16' is for GPUs"):
        Segmenter.from_weights(tmp_path / "none", device="cpu", precision="fp16")
    with pytest.raises(UserError, match="tf32' is for GPUs"):
        Segmenter.from_weights(tmp_path / "none", device="cpu", precision="tf32")


@pytest.mark.bf16
def test_bfloat16_changes_few_labels(segmenter):
    cloud = random_cloud(3000)
    half = Segmenter(segmenter.model, precision="bf16")

    expected, result = segmenter.segment(cloud), half.segment(cloud)

    # A network with random weights is unsure everywhere; a trained one agrees far more often.
    assert (result.labels == expected.labels).mean() > 0.9
    assert np.abs(result.confidence - expected.confidence).max() < 0.1


def test_the_backend_chosen_for_a_gpu_is_triton_once_it_is_measured_there(monkeypatch, caplog, tmp_path):
    monkeypatch.setenv("PVD_TRITON_BLOCKS", str(tmp_path / "blocks.json"))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: (9, 0))
    _tables.cache_clear()
    assert backend_for("auto", torch.device("cuda")) is reference
    assert "`make gpu` measures it" in caplog.text
    sizes = BlockSizes(rows=64, in_channels=32, out_channels=32, pairs=32, num_warps=4, num_stages=2)
    save_measured(tmp_path / "blocks.json", {LayerShape("9.0", "float16", 32, 32, 1000): sizes})
    assert backend_for("auto", torch.device("cuda")).__name__.endswith("triton")

    for name in ("triton", "triton_kernels"):
        monkeypatch.delitem(sys.modules, f"pvd_core.sparse.backends.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "triton", None)

    assert backend_for("auto", torch.device("cuda")) is reference
    assert "triton is not installed" in caplog.text
    with pytest.raises(UserError, match="triton is not installed"):
        backend_for("triton", torch.device("cuda"))
    _tables.cache_clear()


def broken_convolution(*_):
    raise RuntimeError("Failed to find C compiler")


@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_an_engine_that_does_not_run_here_is_replaced_by_the_reference_once_if_nobody_asked_for_it(caplog, backend):
    segmenter = Segmenter(build_model(SETTINGS), backend=backend)
    segmenter.model.backend = SimpleNamespace(convolve=broken_convolution)

    if backend != "auto":
        with pytest.raises(RuntimeError, match="C compiler"):
            segmenter.warm_up()
        return
    segmenter.warm_up()

    assert segmenter.segment(random_cloud(100)).labels.all()
    assert segmenter.counters["backend_fallbacks"] == 1
    assert caplog.text.count("Failed to find C compiler") == 1
