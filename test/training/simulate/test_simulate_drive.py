"""What a simulated drive's frames promise: order, ranges, labels, poses, repeatability."""

from unittest import mock

import numpy as np
import pytest
from scipy.spatial import cKDTree

pytest.importorskip("embreex", reason="simulating needs embreex: pip install 'pvd_ros[sim]'")

from pvd_core.taxonomy import SEMANTICKITTI
from training.simulate import Drive, simulate_sequence
from training.simulate.sensor.sensors import HDL64E, VLP16
from training.simulate.street import world
from training.simulate.street.traffic import MOVING_RAW_ID
from training.simulate.street.world import build_block

MOVING = sorted(MOVING_RAW_ID.values())
THINGS = sorted({*MOVING, *MOVING_RAW_ID, 11, 15})


@pytest.fixture(scope="module", autouse=True)
def _blocks_are_built_once():
    """Most drives here are through the same street."""
    meshes = {}

    def built_once(seed, block, route):
        if (seed, block.index) not in meshes:
            meshes[seed, block.index] = build_block(seed, block, route)
        return meshes[seed, block.index]

    with mock.patch.object(world, "build_block", built_once):
        yield


@pytest.fixture(scope="module")
def frames():
    """Four frames, 0.6 s apart."""
    return list(simulate_sequence(8, 4, scan_interval_s=0.6))


def test_frames_hold_finite_points_of_a_64_beam_sensor(frames):
    for frame in frames:
        assert frame.points.dtype == np.float32
        assert frame.points.shape[1] == 4
        assert frame.labels.dtype == np.uint32
        assert len(frame.labels) == len(frame.points)
        assert np.isfinite(frame.points).all()
        assert 90_000 < len(frame.points) < 64 * HDL64E.num_azimuths
        ranges = np.linalg.norm(frame.points[:, :3], axis=1)
        # The sensor moves half a metre to both sides of the place whose frame the points are in.
        assert ranges.min() >= HDL64E.min_range_m - 0.8
        assert ranges.max() <= HDL64E.max_range_m + 0.8
        assert frame.points[:, 3].min() >= 0
        assert frame.points[:, 3].max() <= np.float32(0.99)


def test_points_are_stored_ring_after_ring_top_ring_first(frames):
    for frame in frames:
        x, y, z = frame.points[:, :3].astype(np.float64).T
        assert (np.diff(frame.rings.astype(int)) >= 0).all()
        # Each ring's laser leaves the sensor at its own height; carrying points into one frame tilts rings a little.
        elevation = np.degrees(np.arctan2(z - np.array(HDL64E.origins_m)[frame.rings], np.hypot(x, y)))
        off = np.abs(elevation - np.array(HDL64E.elevations_deg)[frame.rings])
        assert np.median(off) < 0.15
        assert off.max() < 4
        azimuth = np.degrees(np.arctan2(y, x)) % 360
        # A reader that has no ring column counts azimuth wraps.
        assert np.count_nonzero(np.diff(azimuth) < -180) + 1 == 64
        same_ring = np.diff(frame.rings.astype(int)) == 0
        # Beside a near thing a far point may step back: both were carried from where they were measured.
        steps = np.diff(azimuth)[same_ring]
        assert (steps > 0).mean() > 0.98


def test_ground_lies_where_the_sensor_height_puts_it(frames):
    for frame in frames:
        is_near = np.linalg.norm(frame.points[:, :2], axis=1) < 8
        is_road = SEMANTICKITTI.class_ids_from_raw(frame.labels) == 9
        assert np.median(frame.points[is_near & is_road, 2]) == pytest.approx(-HDL64E.height_m, abs=0.06)


def test_only_things_have_instances_and_only_movers_have_moving_ids(frames):
    stamps = {}
    for frame in frames:
        raw_ids, instances = frame.labels & 0xFFFF, frame.labels >> 16
        assert (instances[~np.isin(raw_ids, THINGS)] == 0).all()
        assert (instances[np.isin(raw_ids, THINGS)] > 0).all()
        assert ((instances > 30001) == np.isin(raw_ids, MOVING)).all()
        for key in np.unique(frame.labels[instances > 0]):
            xyz = frame.points[frame.labels == key, :3].astype(np.float64)
            if len(xyz) > 20:
                stamps.setdefault(key, []).append(
                    (frame.pose[:3, :3] @ xyz.mean(axis=0) + frame.pose[:3, 3], frame.stamp_s)
                )
    speeds = {True: [], False: []}
    for key, sightings in stamps.items():
        (first, start), (last, end) = sightings[0], sightings[-1]
        if end - start > 0.7:
            speeds[(key & 0xFFFF) >= 252].append(np.linalg.norm((last - first)[:2]) / (end - start))
    # The seen part of an object changes as one drives past it, so its mean point wanders even if it stands still.
    assert len(speeds[True]) >= 1
    assert len(speeds[False]) >= 2
    assert np.median(speeds[True]) > 3 * np.median(speeds[False])


def test_an_instance_keeps_its_class(frames):
    classes = {}
    for frame in frames:
        for key in np.unique(frame.labels[frame.labels >> 16 > 0]):
            classes.setdefault(int(key) >> 16, set()).add(int(key) & 0xFFFF)
    assert all(len(raw_ids) == 1 for raw_ids in classes.values())


def test_poses_carry_static_points_of_one_frame_onto_another(frames):
    first, second = frames[0], frames[2]
    assert np.allclose(first.pose, np.eye(4), atol=1e-9)
    assert np.linalg.norm(second.pose[:3, 3]) > 5
    clouds = []
    for frame in (first, second):
        reach_m = 60 if frame is first else 20  # what is near the second was in sight of the first
        is_near = np.linalg.norm(frame.points[:, :3], axis=1) < reach_m
        is_static = np.isin(frame.labels & 0xFFFF, [50, 51, 71, 80]) & is_near
        clouds.append(frame.points[is_static, :3] @ frame.pose[:3, :3].T + frame.pose[:3, 3])
    moved, _ = cKDTree(clouds[0]).query(clouds[1])
    unmoved, _ = cKDTree(clouds[0]).query(clouds[1] - second.pose[:3, 3])
    assert np.median(moved) < 0.15
    assert np.median(moved) < 0.5 * np.median(unmoved)


def test_the_same_seed_gives_the_same_bytes_wherever_one_starts(frames):
    longer = Drive(8, 6, scan_interval_s=0.6)
    with mock.patch.object(world, "build_block", build_block):
        again_from_2 = [again for again, _ in zip(longer.frames(first_scan=2), frames[2:], strict=False)]
    for frame, again in zip(frames[2:], again_from_2, strict=True):
        assert frame.points.tobytes() == again.points.tobytes()
        assert frame.labels.tobytes() == again.labels.tobytes()
        assert frame.pose.tobytes() == again.pose.tobytes()
        assert frame.stamp_s == again.stamp_s


def test_another_seed_is_another_street(frames):
    other = next(simulate_sequence(9, 1))
    assert other.points.tobytes() != frames[0].points.tobytes()


@pytest.mark.slow
def test_a_validation_drive_of_a_few_dozen_scans_meets_every_class():
    counts = np.zeros(SEMANTICKITTI.num_classes, dtype=int)
    for frame in simulate_sequence(8, 24, scan_interval_s=1.0):
        counts += np.bincount(SEMANTICKITTI.class_ids_from_raw(frame.labels), minlength=SEMANTICKITTI.num_classes)
    assert (counts[1:] > 100).all(), counts


def test_another_sensor_scans_the_same_world(frames):
    frame = next(simulate_sequence(8, 1, sensor="vlp16"))
    assert frame.rings.max() == VLP16.num_rings - 1
    assert 8_000 < len(frame.points) <= VLP16.num_rings * VLP16.num_azimuths
    assert len(np.intersect1d(frame.labels >> 16, frames[0].labels >> 16)) > 3
