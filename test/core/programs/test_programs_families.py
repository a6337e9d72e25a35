"""Clouds that grids treat each in its own way: programs of every family label them as the plain path does."""

import itertools

import numpy as np
import pytest
import torch
from program_networks import NETWORKS, program_network, random_cloud
from ros_clouds import FLOAT32, rosbags_cloud

from pvd_core.clouds.example import spinning_scan
from pvd_core.clouds.files import read_bin
from pvd_core.models.bare_statistics import estimate_bare_statistics
from pvd_core.native import cells, library
from pvd_core.programs import XYZI, Bucket, BucketChooser, DeviceRunner
from pvd_core.programs.pipeline import FixedPipeline
from pvd_core.segmenter import Segmenter
from pvd_core.voxels import CartesianGrid
from pvd_core.voxels.cartesian import _COARSEST
from pvd_ros.codec import decode, read_layout


def on_cell_borders():
    """Multiples of half a cube, some of them below 0, where rounding goes to the even cell."""
    steps = np.arange(-7, 8, dtype=np.float32)
    x, y, z = (axis.ravel() for axis in np.meshgrid(steps, steps, steps[5:9], indexing="ij"))
    return np.stack((x, y, z, np.full_like(x, 0.3)), axis=1)


def with_far_points():
    """Some points at the limit of what is a measurement, in every direction."""
    cloud = random_cloud(300)
    cloud[1:7, :3] = 9_999.0 * np.concatenate((np.eye(3), -np.eye(3))).astype(np.float32)
    return cloud


CLOUDS = {
    "random": random_cloud(1500),
    "on borders of cells": on_cell_borders(),
    "far points": with_far_points(),
    "one point": np.array([[31.7, -5.2, 0.4, 0.5]], np.float32),
    "no point": np.zeros((0, 4), np.float32),
    "no measurement": np.zeros((5, 4), np.float32),
}


@pytest.fixture(scope="module", params=NETWORKS)
def model(request):
    return program_network(request.param)


@pytest.fixture(scope="module", params=["reference", "native"])
def segmenters(request, model):
    """(without programs, with them)."""
    if request.param == "native" and not library.status()[0]:
        pytest.skip("the native engine is not built here")
    return tuple(Segmenter(model, backend=request.param, programs=programs) for programs in ("off", "eager"))


@pytest.mark.parametrize("name", CLOUDS)
def test_programs_label_as_the_plain_path_does(segmenters, name):
    plain, fast = segmenters
    expected, found = plain.segment(CLOUDS[name]), fast.segment(CLOUDS[name])

    assert np.array_equal(found.labels, expected.labels)
    assert np.abs(found.confidence - expected.confidence).max(initial=0) < 1e-5
    assert fast.counters["declined"] == fast.counters["overflows"] == 0


def test_clouds_without_intensity_are_labelled_with_the_statistics_of_such_clouds(model):
    measured = on_cell_borders()
    statistics = estimate_bare_statistics(model, [torch.from_numpy(measured)])
    model.bare_statistics = statistics
    plain, fast = (Segmenter(model, programs=programs) for programs in ("off", "eager"))
    model.bare_statistics = None
    cloud = random_cloud(400)
    fields = tuple((name, 4 * place, FLOAT32, 1) for place, name in enumerate("xyz"))
    data = np.ascontiguousarray(cloud[:, :3]).tobytes()
    sizes = {"height": 1, "width": len(cloud), "point_step": 12, "row_step": 12 * len(cloud)}
    message = rosbags_cloud(fields=fields, data=data, **sizes)
    expected = plain.segment(decode(message, 1.0).points)

    found = fast.segment_bytes(message.data, read_layout(message))

    assert "program" in found.timings_ms
    assert np.array_equal(found.labels, expected.labels)
    assert np.abs(found.confidence - expected.confidence).max() < 1e-5


def test_a_scan_as_sensors_make_them_fits_its_program_at_every_size_of_cubes():
    assert_fits(spinning_scan(60_000))


def assert_fits(points):
    cloud = torch.from_numpy(points)
    for size in (0.05, 0.1, 0.2, 0.4):
        grid = CartesianGrid(size)
        bucket = BucketChooser(grid, ((2, 2, 2),) * 4).choose(len(cloud))
        indices_3P = grid.place(cloud, torch.ones(len(cloud), dtype=torch.bool)).indices_P3.T
        for level, rows in enumerate(bucket.num_rows):
            x, y, z = indices_3P >> level
            assert len(torch.unique((x * 10**6 + y) * 10**6 + z)) < rows


@pytest.mark.parametrize("scan", ["semantickitti/sequences/08", "nuscenes/scene-1072", "pandaset/sequences/001"])
def test_real_scans_fit_their_program_at_every_size_of_cubes(shared_data, scan):
    assert_fits(read_bin(shared_data / scan / "velodyne" / "000000.bin").points.copy())


def test_points_too_far_from_each_other_for_a_program_are_labelled_without_one():
    model = program_network("minkunet", grid={"voxel_size": 0.01})
    plain, fast = (Segmenter(model, programs=programs) for programs in ("off", "eager"))
    near = random_cloud(200)
    far = near.copy()
    far[1:3, 0] = -9_000, 9_000

    for cloud, num_declined in ((far, 1), (near, 1), (far, 2)):
        assert np.array_equal(fast.segment(cloud).labels, plain.segment(cloud).labels)
        assert fast.counters["declined"] == num_declined
    # A larger program would not hold it either.
    assert fast.counters["overflows"] == 0
    assert fast.counters["programs"] == 1


@pytest.mark.parametrize("settings", [{"origin": "ground"}, {"origin": "ground", "features": "moments"}])
@pytest.mark.parametrize("is_native", [True, False])
@pytest.mark.parametrize("cloud", CLOUDS)
def test_other_cubes_give_the_same_labels_in_programs(monkeypatch, cloud, is_native, settings):
    if not is_native:
        monkeypatch.setattr(cells, "is_usable_for", lambda tensor: False)
    model = program_network("minkunet", grid={"voxel_size": 0.5, **settings})
    plain, fast = (Segmenter(model, programs=programs) for programs in ("off", "eager"))
    assert np.array_equal(fast.segment(CLOUDS[cloud]).labels, plain.segment(CLOUDS[cloud]).labels)
    assert fast.counters["declined"] == 0


@pytest.mark.parametrize("family", ["minkunet", "spvcnn", "spvnas"])
def test_corners_seen_from_the_ground_are_multiples_of_the_coarsest_cell_of_every_family(family):
    assert all(_COARSEST % cells == 0 for cells in program_network(family).coarsest_cell)


@pytest.mark.parametrize("family", ["minkunet", "spvcnn"])
def test_a_stray_point_changes_no_other_answer_where_coarser_cells_are_seen_from_the_ground(family):
    cloud = random_cloud(1500)
    stray = np.concatenate((cloud, np.array([[80.0, -71.3, -40.7, 0.1]], np.float32)))
    changed = {}
    for origin in ("ground", "lowest"):
        segmenter = Segmenter(program_network(family, grid={"voxel_size": 0.5, "origin": origin}))
        changed[origin] = np.abs(segmenter.segment(stray).confidence[:-1] - segmenter.segment(cloud).confidence).max()
    assert changed["ground"] < 1e-6 < 1e-4 < changed["lowest"]


def test_the_answer_tells_points_that_lie_too_far_from_sites_that_are_too_many():
    model = program_network("minkunet", grid={"voxel_size": 0.01})
    runner = DeviceRunner(model, torch.device("cpu"))
    program = runner.prepare(10, XYZI)
    cloud = np.array([[-9e3, 0, 0, 0], [9e3, 1, 1, 0]], np.float32)
    program.start(cloud.view(np.uint8).reshape(1, -1), len(cloud), 1.0)
    answer = program.answer(len(cloud))
    assert not answer.lies_inside
    assert not answer.is_whole


def test_a_cloud_of_cubes_that_overflows_moves_one_program_up_and_keeps_its_labels(monkeypatch):
    monkeypatch.setattr("pvd_core.voxels.room._CUBES", ((float("inf"), (0.3,) * 9),))
    model = program_network("spvcnn", grid={"voxel_size": 0.5})
    plain, fast = (Segmenter(model, programs=programs) for programs in ("off", "eager"))
    cloud = np.random.default_rng(0).uniform((-30, -30, -2, 0), (30, 30, 2, 1), (1600, 4)).astype(np.float32)

    for _ in range(2):
        assert np.array_equal(fast.segment(cloud).labels, plain.segment(cloud).labels)

    assert fast.counters["overflows"] == 1
    assert fast.counters["declined"] == 0


@pytest.mark.parametrize("origin", ["lowest", "ground"])
def test_where_points_lie_does_not_depend_on_points_that_are_no_measurement(origin):
    grid = CartesianGrid(0.5, origin=origin)
    points = torch.from_numpy(on_cell_borders()) + torch.tensor([100.0, -50.0, 3.0, 0.0])
    measured = torch.arange(len(points)) % 3 > 0
    points[~measured] = 0.0

    placed = grid.place(points, measured)

    batch = grid.voxelise([points[measured]])
    assert placed.fits
    assert torch.equal(placed.indices_P3[measured], batch.coords_V4[batch.point_to_voxel_P, 1:])
    assert (placed.indices_P3 >= 0).all()


def test_coarser_cubes_need_fewer_rows_and_no_program_has_more_than_one_row_a_point():
    strides = ((2, 2, 2),) * 4
    for num_points in (4096, 32_768, 131_072):
        shares = [CartesianGrid(size).sites_a_point(num_points, strides) for size in (0.02, 0.05, 0.1, 0.2, 0.4, 5.0)]
        assert all(max(row) <= 1 for row in shares)
        assert all(sorted(row, reverse=True) == list(row) for row in shares)
        for finer, coarser in itertools.pairwise(shares):
            assert all(many >= few for many, few in zip(finer, coarser, strict=True))
        # A level of one grid is as that of another with cubes of the same size.
        assert shares[1][1:] == shares[2][:-1]
    # Of oblong cells the shortest side counts.
    assert CartesianGrid(0.1).sites_a_point(9000, ((2, 2, 1),)) == CartesianGrid(0.1).sites_a_point(9000, ((1, 2, 1),))


def test_a_network_whose_strides_are_not_those_of_its_levels_is_an_error():
    model = program_network("minkunet")
    runner = DeviceRunner(model, torch.device("cpu"))
    bucket = runner.buckets.choose(10)
    for num_rows, message in (
        ((*bucket.num_rows, 128), "visited 5 levels, but its strides are those of 6"),
        (bucket.num_rows[:-1], "has a coarser level than its strides say"),
    ):
        pipeline = FixedPipeline(model, Bucket(bucket.num_points, num_rows), XYZI)
        with pytest.raises(ValueError, match=message):
            pipeline(torch.zeros(pipeline.num_input_bytes, dtype=torch.uint8))
