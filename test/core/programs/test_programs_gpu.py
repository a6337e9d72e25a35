"""What only a GPU can show: CUDA graphs, and that nothing waits for the device before the answer is read."""

import numpy as np
import pytest
import torch
from ros_clouds import slow_column, xyzi_cloud

from pvd_core.clouds.example import spinning_scan
from pvd_core.models import build_model
from pvd_core.programs import XYZI, DeviceRunner
from pvd_core.programs.frozen import frozen
from pvd_core.segmenter import Segmenter
from pvd_ros.bags.types import rosbags_cloud_types
from pvd_ros.labeller import CloudLabeller

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
SETTINGS = {
    "cylinder3d": {"width": 8, "num_point_features": 32, "point_mlp_widths": (32,), "grid": {"shape": (120, 90, 16)}},
    "minkunet": {"architecture": "minkunet", "channel_ratio": 0.25, "grid": {"voxel_size": 0.4}},
    "spvcnn": {"architecture": "spvcnn", "channel_ratio": 0.25, "grid": {"voxel_size": 0.4}},
}
families = pytest.mark.parametrize("family", SETTINGS)


def small_model(family="cylinder3d"):
    torch.manual_seed(0)
    return build_model(SETTINGS[family]).eval()


@pytest.mark.parametrize(
    ("family", "precision", "least_agreement"),
    [
        ("cylinder3d", "fp32", 0.999),
        ("cylinder3d", "bf16", 0.9),
        ("cylinder3d", "fp16", 0.95),
        ("minkunet", "fp32", 0.999),
        ("spvcnn", "fp32", 0.999),
    ],
)
@pytest.mark.parametrize("programs", ["eager", "graphs"])
def test_programs_give_the_labels_of_the_plain_path_on_the_reference_backend(
    programs, family, precision, least_agreement
):
    pytest.importorskip("triton")
    plain = Segmenter(small_model(family), device="cuda", backend="reference")
    fast = Segmenter(small_model(family), device="cuda", precision=precision, backend="triton", programs=programs)

    for size in (3000, 20_000, 3500, 0, 1):
        cloud = spinning_scan(size)
        expected, result = plain.segment(cloud), fast.segment(cloud)
        if size:
            assert (result.labels == expected.labels).mean() >= least_agreement
            assert np.abs(result.confidence - expected.confidence).max() < (1e-4 if precision == "fp32" else 0.1)
    assert fast.counters["declined"] == 0
    assert fast.counters["out_of_memory"] == 0


@families
def test_a_graph_gives_the_same_bits_each_time_whatever_ran_in_between(family):
    pytest.importorskip("triton")
    fast = Segmenter(small_model(family), device="cuda", backend="triton", programs="graphs")
    first = fast.segment(spinning_scan(3000))
    fast.segment(spinning_scan(3900))
    fast.segment(spinning_scan(20_000))
    again = fast.segment(spinning_scan(3000))

    assert np.array_equal(first.labels, again.labels)
    assert np.array_equal(first.confidence, again.confidence)


@pytest.mark.parametrize("programs", ["eager", "graphs"])
def test_confidences_and_entropies_have_the_temperature_of_the_weights(programs):
    pytest.importorskip("triton")
    facts, cloud = {"confidence": {"temperature": 1.7}}, spinning_scan(3000)
    plain = Segmenter(small_model(), facts, device="cuda", backend="reference").segment(cloud, with_entropy=True)
    fast = Segmenter(small_model(), facts, device="cuda", backend="triton", programs=programs)
    result, without = fast.segment(cloud, with_entropy=True), fast.segment(cloud)
    assert np.abs(result.confidence - plain.confidence).max() < 1e-4
    assert np.abs(result.entropy - plain.entropy).max() < 1e-4
    assert np.array_equal(result.confidence, without.confidence)
    assert without.entropy is None


def test_a_message_decoded_on_the_gpu_is_labelled_as_its_points_are():
    pytest.importorskip("triton")
    plain = Segmenter(small_model(), device="cuda", backend="reference")
    fast = Segmenter(small_model(), device="cuda", backend="triton", programs="graphs")
    message = xyzi_cloud(spinning_scan(3000), height=3)

    expected, found = (CloudLabeller(each, rosbags_cloud_types()).label(message) for each in (plain, fast))

    assert "program" in found.timings_ms
    assert (found.segmentation.labels == expected.segmentation.labels).mean() >= 0.999
    for column in ("x", "y", "z", "intensity"):
        assert slow_column(found.message, column) == slow_column(expected.message, column)


@families
def test_nothing_waits_for_the_device_before_the_answer_is_read(family):
    pytest.importorskip("triton")
    model = small_model(family).cuda()
    from pvd_core.sparse.backends import triton

    model.backend = triton
    runner = DeviceRunner(frozen(model), torch.device("cuda"))
    cloud = spinning_scan(3000)
    program = runner.prepare(len(cloud), XYZI)
    for _ in range(2):
        program.start(cloud.view(np.uint8).reshape(1, -1), len(cloud), 1.0)
        program.answer(len(cloud))

    torch.cuda.set_sync_debug_mode("error")
    try:
        program.start(cloud.view(np.uint8).reshape(1, -1), len(cloud), 1.0)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert program.answer(len(cloud)).is_whole
