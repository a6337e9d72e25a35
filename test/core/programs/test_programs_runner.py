"""Sizes, growth, eviction and memory of the programs for the device, without a GPU: they run as they are, eagerly."""

import math

import numpy as np
import pytest
import torch
from ros_clouds import FLOAT32, rosbags_cloud

from pvd_core.borders.errors import UserError
from pvd_core.clouds.example import spinning_scan
from pvd_core.models import build_model
from pvd_core.models.backbone import STRIDES
from pvd_core.programs import BucketChooser, DeviceRunner
from pvd_core.programs.message import ArrayLayout
from pvd_core.programs.static_function import StaticFunction
from pvd_core.segmenter import Segmenter
from pvd_core.voxels import CylindricalGrid
from pvd_ros.codec import decode, read_layout

SETTINGS = {"width": 4, "num_point_features": 16, "point_mlp_widths": (16,)}
COARSE, FINE = {"shape": (48, 36, 8)}, {"shape": (400, 300, 32)}


def model_with(grid):
    torch.manual_seed(0)
    return build_model({**SETTINGS, "grid": grid}).eval()


def scattered_cloud(num_points):
    """Nearly every point lies in a voxel of its own."""
    generator = np.random.default_rng(0)
    return generator.uniform((-4, -4, -4, 0), (4, 4, 2, 1), (num_points, 4)).astype(np.float32)


def label(runner, cloud):
    return runner.label(cloud, ArrayLayout(len(cloud)))


def runner_with(grid, **options):
    return DeviceRunner(model_with(grid), torch.device("cpu"), **options)


@pytest.fixture
def chooser():
    return BucketChooser(CylindricalGrid(), STRIDES)


def test_a_bucket_holds_its_clouds_and_is_at_most_half_again_as_large(chooser):
    for num_points in (4097, 30_000, 123_389, 196_608, 2_000_000):
        bucket = chooser.choose(num_points)
        assert num_points <= bucket.num_points <= 1.5 * num_points
    assert chooser.choose(0) == chooser.choose(4096)
    assert chooser.choose(4_000_000) is None


def test_real_scans_fit_the_bucket_of_their_size(chooser):
    for num_points, sites in ((123_389, (46_952, 43_222, 19_488, 11_813, 4_537)), (34_720, (15_935, 20_064, 10_930))):
        assert all(count < rows for count, rows in zip(sites, chooser.choose(num_points).num_rows, strict=False))


def test_a_level_never_has_more_room_than_its_grid_has_cells():
    shapes = [(48, 36, 8), (24, 18, 4), (12, 9, 2), (6, 5, 2), (3, 3, 2)]
    for bucket in BucketChooser(CylindricalGrid(shape=shapes[0]), STRIDES).buckets:
        assert all(rows <= math.prod(shape) + 128 for rows, shape in zip(bucket.num_rows, shapes, strict=True))


def test_clouds_start_in_the_next_bucket_once_one_of_their_size_overflowed(chooser):
    first, other = chooser.choose(20_000), chooser.choose(10_000)

    chooser.overflowed(20_000, first)

    second = chooser.choose(20_000)
    assert second.num_points > first.num_points
    assert second.num_rows[0] > first.num_rows[0]
    assert chooser.choose(19_000) == second
    assert chooser.choose(10_000) == other


def test_clouds_leave_a_bucket_for_which_there_is_no_memory(chooser):
    first = chooser.choose(20_000)
    chooser.overflowed(20_000, first)

    chooser.does_not_fit_the_device(chooser.choose(20_000))

    assert chooser.choose(20_000) == first
    assert chooser.choose(first.num_points + 1) is None


@pytest.fixture
def tight_buckets(monkeypatch):
    """For clouds of all sizes the room that large ones need."""
    monkeypatch.setattr("pvd_core.voxels.room._CYLINDRICAL", ((math.inf, (0.55, 0.75, 0.45, 0.35, 0.2)),))


def test_an_overflow_moves_the_cloud_one_bucket_up_once_and_is_counted(tight_buckets):
    runner, cloud = runner_with(FINE), scattered_cloud(700)
    # Too many sites at the third level for the first bucket, not for the second.
    answer = label(runner, cloud)

    assert np.array_equal(answer.labels, Segmenter(model_with(FINE)).segment(cloud).labels)
    assert runner.counters["overflows"] == 1
    label(runner, cloud)
    assert runner.counters["overflows"] == 1
    assert runner.counters["declined"] == 0
    assert runner.counters["programs"] == 2


def test_a_cloud_that_overflows_twice_is_declined_and_labelled_all_the_same(tight_buckets):
    segmenter, cloud = Segmenter(model_with(FINE), programs="eager"), scattered_cloud(1000)

    result = segmenter.segment(cloud)

    assert np.array_equal(result.labels, Segmenter(model_with(FINE)).segment(cloud).labels)
    assert segmenter.counters["overflows"] == 2
    assert segmenter.counters["declined"] == 1
    # The third time it starts where there is room.
    segmenter.segment(cloud)
    assert segmenter.counters["declined"] == 1


def test_programs_that_nobody_used_lately_are_evicted(monkeypatch):
    monkeypatch.setattr("pvd_core.programs.runner._MOST_PROGRAMS", 2)
    runner = runner_with(COARSE)
    clouds = [spinning_scan(size) for size in (1000, 5000, 1000, 7000, 1000)]

    for cloud in clouds:
        assert label(runner, cloud).is_whole

    assert runner.counters["programs"] == 3
    assert runner.counters["evicted"] == 1
    label(runner, clouds[1])
    assert runner.counters["programs"] == 4


class OutOfMemoryAbove:
    """Makes StaticFunctions as a device with little memory would."""

    def __init__(self, most_bytes):
        self._most_bytes = most_bytes

    def __call__(self, function, num_input_bytes, device, is_captured):
        if num_input_bytes > self._most_bytes:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return StaticFunction(function, num_input_bytes, device, is_captured)


def test_without_memory_for_a_grown_bucket_the_smaller_one_is_used_and_it_is_said_once(caplog):
    runner = runner_with(COARSE, make_static=OutOfMemoryAbove(16 * 4200))
    runner.buckets.overflowed(3000, runner.buckets.choose(3000))

    answers = [label(runner, spinning_scan(3000)) for _ in range(2)]

    assert all(answer.is_whole for answer in answers)
    assert runner.counters["out_of_memory"] == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "no memory on cpu for clouds of 6144 points" in caplog.text


def test_without_memory_for_any_bucket_clouds_are_declined_at_once_from_then_on(caplog):
    runner = runner_with(COARSE, make_static=OutOfMemoryAbove(0))

    assert label(runner, spinning_scan(3000)) is None
    assert label(runner, spinning_scan(3000)) is None
    assert runner.counters["out_of_memory"] == 1
    assert runner.counters["declined"] == 2
    assert len(caplog.records) == 1


def test_errors_that_are_not_about_memory_are_not_hidden():
    def broken(*_):
        raise RuntimeError("an illegal memory access was encountered")

    with pytest.raises(RuntimeError, match="illegal memory access"):
        label(runner_with(COARSE, make_static=broken), spinning_scan(100))


def test_an_error_at_the_end_of_a_capture_that_ran_out_of_memory_counts_as_that():
    def captures(*_):
        try:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        finally:
            raise RuntimeError("operation failed due to a previous error during capture")

    runner = runner_with(COARSE, make_static=captures)
    assert label(runner, spinning_scan(100)) is None
    assert runner.counters["out_of_memory"] == 1


@pytest.mark.parametrize("programs", ["off", "eager"])
def test_the_bytes_of_a_message_give_the_labels_of_its_points(programs):
    segmenter = Segmenter(model_with(COARSE), programs=programs)
    points = spinning_scan(600)
    rows = np.zeros((3, 200 * 20 + 7), np.uint8)
    rows[:, : 200 * 20].reshape(600, 20)[:, 4:] = points.astype(">f4").view(np.uint8).reshape(600, 16)
    fields = tuple((name, 4 + 4 * place, FLOAT32, 1) for place, name in enumerate(("x", "y", "z", "reflectivity")))
    sizes = {"height": 3, "width": 200, "point_step": 20, "row_step": 4007, "is_bigendian": True}
    message = rosbags_cloud(fields=fields, data=rows.tobytes(), **sizes)
    expected = Segmenter(model_with(COARSE)).segment(decode(message, 0.5).points)

    result = segmenter.segment_bytes(message.data, read_layout(message), 0.5)

    assert np.array_equal(result.labels, expected.labels)
    assert np.abs(result.confidence - expected.confidence).max() < 1e-5


def test_what_is_to_be_done_meanwhile_comes_after_the_device_was_started():
    order = []

    class Recording(StaticFunction):
        def __call__(self):
            order.append("device")
            return super().__call__()

    runner = runner_with(COARSE, make_static=Recording)
    cloud = spinning_scan(600)
    assert runner.label(cloud, ArrayLayout(len(cloud)), meanwhile=lambda: order.append("host")).is_whole
    assert order == ["device", "host"]


def test_warm_up_makes_the_programs_that_clouds_will_use():
    segmenter = Segmenter(model_with(COARSE), programs="eager")
    segmenter.warm_up((3000, 9000))
    num_programs = segmenter.counters["programs"]

    for size in (3500, 8500):
        segmenter.segment(spinning_scan(size))

    assert num_programs == segmenter.counters["programs"] == 2
    assert segmenter.counters["overflows"] == 0


def test_programs_do_not_see_what_later_happens_to_the_model_and_the_model_keeps_its_weights():
    model, cloud = model_with(COARSE), spinning_scan(2000)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    segmenter = Segmenter(model, programs="eager")
    expected = segmenter.segment(cloud)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())

    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)

    assert np.array_equal(segmenter.segment(cloud).confidence, expected.confidence)


def test_unknown_programs_and_graphs_without_a_gpu_are_refused():
    with pytest.raises(UserError, match=r"programs 'fast': expected one of auto, off"):
        Segmenter(model_with(COARSE), programs="fast")
    with pytest.raises(UserError, match=r"'graphs' need a GPU and backend 'triton'; here are cpu and 'reference'"):
        Segmenter(model_with(COARSE), programs="graphs")
