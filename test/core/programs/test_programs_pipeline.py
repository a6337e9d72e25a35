"""The pipeline of fixed shapes against the plain path, on the CPU (where nothing captures graphs) and on a GPU."""

import os
from unittest import mock

import numpy as np
import pytest
import torch
from program_networks import NETWORKS, SETTINGS, program_network, random_cloud
from waiting_operations import WAITING, Operations

from pvd_core.clouds.measured import is_measured
from pvd_core.models import build_model
from pvd_core.models.backbone import STRIDES
from pvd_core.native import library
from pvd_core.programs import XYZI, Bucket, FixedPipeline, PointLayout
from pvd_core.programs.decode import decode_points
from pvd_core.programs.frozen import frozen
from pvd_core.programs.pipeline import write_header
from pvd_core.segmenter import Segmenter
from pvd_ros.codec.layout import DATATYPES

ROOMY = Bucket(3000, (2048, 2048, 1024, 1024, 1024))


@pytest.fixture(scope="module", params=NETWORKS)
def model(request):
    return program_network(request.param)


def test_labels_on_a_progressive_grid_equal_those_of_the_plain_path():
    torch.manual_seed(0)
    grid = {"shape": (30, 36, 8), "rho_range": (1, 50), "radial": "progressive"}
    model = build_model({**SETTINGS, "grid": grid}).eval()
    cloud = random_cloud()
    answer = answer_of(FixedPipeline(model, ROOMY, XYZI), cloud)
    assert answer.is_whole
    assert np.array_equal(answer.labels, Segmenter(model).segment(cloud).labels)


def input_of(pipeline, cloud, garbage=0):
    """Input bytes for a cloud of x, y, z, intensity; `garbage` fills the room behind its points."""
    buffer = np.full(pipeline.num_input_bytes, garbage, np.uint8)
    write_header(buffer, len(cloud), 1.0)
    buffer[16 : 16 + cloud.nbytes] = np.frombuffer(cloud.tobytes(), np.uint8)
    return torch.from_numpy(buffer)


def answer_of(pipeline, cloud, garbage=0):
    return pipeline.read(pipeline(input_of(pipeline, cloud, garbage)).numpy(), len(cloud))


def wanted_rows(model, cloud):
    """Rows of each level that hold exactly the sites of a cloud."""
    pipeline = FixedPipeline(model, ROOMY, XYZI)
    counts = pipeline(input_of(pipeline, cloud)).numpy()[:32].view(np.int32)[1 : len(STRIDES) + 2]
    assert 0 < counts[0] <= is_measured(cloud).sum()
    return tuple(int(count) + 1 for count in counts)


@pytest.mark.parametrize("garbage", [0, 255, 63])
def test_labels_equal_those_of_the_plain_path_whatever_lies_behind_the_last_point(model, garbage):
    cloud = random_cloud()
    expected = Segmenter(model).segment(cloud)

    answer = answer_of(FixedPipeline(model, ROOMY, XYZI), cloud, garbage)

    assert answer.is_whole
    assert np.array_equal(answer.labels, expected.labels)
    assert np.abs(answer.confidence - expected.confidence).max() < 1e-5


def test_buckets_that_are_exactly_full_give_the_same_and_one_row_less_is_noticed_at_every_level(model):
    cloud = random_cloud()
    expected = Segmenter(model).segment(cloud)
    rows = wanted_rows(model, cloud)

    full = answer_of(FixedPipeline(model, Bucket(len(cloud), rows), XYZI), cloud)

    assert full.is_whole
    assert np.array_equal(full.labels, expected.labels)
    for level in range(len(rows)):
        less = tuple(count - (place == level) for place, count in enumerate(rows))
        assert not answer_of(FixedPipeline(model, Bucket(len(cloud), less), XYZI), cloud).is_whole


@pytest.mark.parametrize("num_points", [0, 1, 5])
def test_tiny_clouds_and_clouds_without_a_measurement(model, num_points):
    pipeline = FixedPipeline(model, ROOMY, XYZI)
    cloud = random_cloud(200)[1 : num_points + 1]

    assert np.array_equal(answer_of(pipeline, cloud, 77).labels, Segmenter(model).segment(cloud).labels)
    assert not answer_of(pipeline, np.zeros((num_points, 4), np.float32), 77).labels.any()


@pytest.mark.parametrize("order", ["<", ">"])
def test_every_number_type_and_byte_order_is_read_from_bytes(order):
    generator = np.random.default_rng(0)
    for kind in DATATYPES.values():
        dtype = np.dtype(order + kind)
        for coordinate in ("f4", "f8"):
            columns = {
                "x": (1, np.dtype(order + coordinate)),
                "y": (11, np.dtype(order + coordinate)),
                "z": (20, np.dtype(order + coordinate)),
                "intensity": (30, dtype),
            }
            names, places = list(columns), [column[0] for column in columns.values()]
            record = np.dtype(
                {"names": names, "offsets": places, "formats": [c[1] for c in columns.values()], "itemsize": 41}
            )
            cloud = np.frombuffer(generator.bytes(50 * 41), record).copy()
            for role in ("x", "y", "z"):
                cloud[role][1:] = generator.normal(0, 10, 49)
            if dtype.kind == "f":
                cloud["intensity"][1:] = generator.uniform(0, 255, 49)
            with np.errstate(all="ignore"):
                expected = np.stack([cloud[name].astype(np.float32) for name in names], axis=1)
                expected[:, 3] = np.where(
                    np.isfinite(expected[:, 3] * np.float32(0.5)), expected[:, 3] * np.float32(0.5), 0
                )

            data = torch.frombuffer(bytearray(cloud.tobytes()), dtype=torch.uint8).view(50, 41)
            points = decode_points(data, PointLayout.of(41, columns), 0.5)

            np.testing.assert_array_equal(points.numpy(), expected)
            assert np.array_equal(is_measured(points).numpy(), is_measured(expected))


def test_a_cloud_without_intensity_has_intensity_0():
    columns = {"x": (0, "<f4"), "y": (4, "<f4"), "z": (8, "<f4")}
    cloud = random_cloud(30)
    data = torch.from_numpy(np.ascontiguousarray(cloud[:, :3])).view(torch.uint8)
    points = decode_points(data, PointLayout.of(12, columns), 1.0)
    np.testing.assert_array_equal(points[:, :3], cloud[:, :3])
    assert (points[:, 3] == 0).all()


def test_layouts_that_leave_the_point_or_lack_a_coordinate_are_refused():
    columns = {"x": (0, "<f4"), "y": (4, "<f4"), "z": (10, "<f4")}
    with pytest.raises(ValueError, match=r"'z' at byte 10 of a point leaves its 12 bytes"):
        PointLayout.of(12, columns)
    with pytest.raises(ValueError, match=r"missing \['z'\]"):
        PointLayout.of(12, {"x": (0, "<f4"), "y": (4, "<f4")})
    with pytest.raises(ValueError, match="expected floats or integers"):
        PointLayout.of(16, {**columns, "intensity": (0, "S4")})


@pytest.mark.parametrize(
    ("name", "grid"),
    [
        ("cylinder3d", {"shape": (12, 9, 4)}),
        pytest.param("cylinder3d without refinement", {"shape": (12, 9, 4)}, marks=pytest.mark.slow),
        pytest.param("minkunet", {"voxel_size": 8.0}, marks=pytest.mark.slow),
        ("spvcnn", {"voxel_size": 8.0}),
    ],
)
def test_on_triton_it_gives_the_same_labels_without_an_operation_that_waits_for_the_device(name, grid, monkeypatch):
    model = program_network(name, grid=grid)
    cloud = random_cloud(40)
    expected = Segmenter(model, {"confidence": {"temperature": 1.5}}).segment(cloud, with_entropy=True)
    model.backend = triton_backend()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    bucket = Bucket(48, (48, 64, 16, 16, 16))
    pipeline = FixedPipeline(frozen(model).to(device), bucket, XYZI, temperature=1.5, with_entropy=True)
    input_B = input_of(pipeline, cloud).to(device)
    pipeline(input_B)  # constants of the grid are copied to the device once

    # The operations are those of a GPU, where the native library serves nothing.
    monkeypatch.setattr(library, "status", lambda: (False, ""))
    with Operations() as operations:
        output_B = pipeline(input_B)

    answer = pipeline.read(output_B.cpu().numpy(), len(cloud))
    assert answer.is_whole
    assert np.abs(answer.confidence - expected.confidence).max() < 1e-5
    assert np.abs(answer.entropy - expected.entropy).max() < 1e-5
    assert np.array_equal(answer.labels, expected.labels)
    assert {"cumsum", "scatter_reduce_"} <= operations.names
    assert not operations.names & set(WAITING)


def triton_backend():
    pytest.importorskip("triton", reason="triton is not installed (extra gpu)")
    with mock.patch.dict(os.environ, {} if torch.cuda.is_available() else {"TRITON_INTERPRET": "1"}):
        from pvd_core.sparse.backends import triton
    if not (torch.cuda.is_available() or triton.IS_INTERPRETED):
        pytest.skip("the kernels were imported without the interpreter")
    return triton


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", None), pytest.param("bf16", torch.bfloat16, marks=pytest.mark.bf16)]
)
def test_a_frozen_network_gives_what_the_network_gives(model, precision, dtype):
    cloud = random_cloud()
    pipelines = [FixedPipeline(network, ROOMY, XYZI, precision) for network in (model, frozen(model, dtype))]

    answers = [answer_of(pipeline, cloud) for pipeline in pipelines]

    assert np.array_equal(answers[0].confidence, answers[1].confidence)
