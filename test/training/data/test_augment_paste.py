"""Objects cut out of scans by their instance ids, and pasted where there is room, at their distance, with a shadow."""

import numpy as np
import pytest

from pvd_core.taxonomy import SEMANTICKITTI
from training.data.augmentation.objects import ObjectBank, SceneObject, objects_in
from training.data.augmentation.paste import paste_objects
from training.data.augmentation.rings import rings_of
from training.data.example import Example
from training.data.scan_files import read_points, read_raw_labels

ROAD, BUILDING, PERSON, TRUCK, CAR, TERRAIN = 9, 13, 6, 4, 1, 17
_HEIGHT_M = 1.7


def street(ground_class=ROAD):
    """Flat ground around the sensor, cast ray by ray, in scan order; a wall 20 m ahead."""
    elevations = np.deg2rad(np.linspace(-2, -24, 48))[:, None]
    azimuths = np.deg2rad(np.arange(0.1, 360, 0.2))[None]
    directions = np.stack(
        np.broadcast_arrays(
            np.cos(elevations) * np.cos(azimuths), np.cos(elevations) * np.sin(azimuths), np.sin(elevations)
        ),
        axis=-1,
    ).reshape(-1, 3)
    to_ground = -_HEIGHT_M / directions[:, 2]
    to_wall = np.where(directions[:, 0] > 0.5, 20 / np.maximum(directions[:, 0], 0.5), np.inf)
    ranges = np.minimum(to_ground, to_wall)
    points = np.column_stack((directions * ranges[:, None], np.full(len(ranges), 0.3))).astype(np.float32)
    return Example.of_scan(points, np.where(to_wall < to_ground, BUILDING, ground_class).astype(np.uint8))


def box_of_points(x, y, half_size=0.4, height=1.7, num_points=200):
    low, high = (x - half_size, y - half_size, -_HEIGHT_M + 0.1), (x + half_size, y + half_size, -_HEIGHT_M + height)
    xyz = np.random.default_rng(5).uniform(low, high, (num_points, 3))
    return np.column_stack((xyz, np.full(num_points, 0.9))).astype(np.float32)


def person_at(x, y):
    points = box_of_points(x, y)
    return SceneObject(points, np.zeros(len(points), np.int64), PERSON, -_HEIGHT_M)


def bank_of(*objects):
    bank = ObjectBank()
    bank.add(objects)
    return bank


def pasted(scan, bank, seed):
    """(whole result, the new points)"""
    result = paste_objects(scan, bank, np.random.default_rng(seed), 1, SEMANTICKITTI)
    return result, result.points[result.labels == PERSON]


def test_objects_of_rare_classes_are_found_by_their_instance_ids():
    points, labels = street().points, street().labels
    extra = [box_of_points(-8, 0), box_of_points(0, 9), box_of_points(0, -9), box_of_points(-12, 3, num_points=10)]
    all_points = np.concatenate((points, *extra))
    classes = np.concatenate((labels, *(np.full(len(e), c) for e, c in zip(extra, (6, 4, 1, 6), strict=True))))
    instances = np.concatenate((np.zeros(len(points)), *(np.full(len(e), i + 1) for i, e in enumerate(extra))))
    found = objects_in(all_points, classes.astype(np.uint8), instances.astype(np.uint16), SEMANTICKITTI)
    # A car is not rare, ten points are too few.
    assert [item.class_id for item in found] == [TRUCK, PERSON]
    assert (np.sort(found[1].points, axis=0) == np.sort(extra[0], axis=0)).all()
    assert found[1].ground_z == pytest.approx(-_HEIGHT_M, abs=0.01)


def test_points_without_instance_id_and_objects_without_ground_are_no_objects():
    points = box_of_points(-8, 0)
    classes = np.full(len(points), PERSON, np.uint8)
    assert objects_in(points, classes, np.zeros(len(points), np.uint16), SEMANTICKITTI) == []
    assert objects_in(points, classes, np.ones(len(points), np.uint16), SEMANTICKITTI) == []


def test_pasted_object_keeps_its_distance_and_its_class_and_stands_on_the_ground():
    scan, bank = street(), bank_of(person_at(-8, 0))
    angles = []
    for seed in range(40):
        _, new = pasted(scan, bank, seed)
        if len(new) == 0:
            continue
        assert len(new) == 200
        assert np.hypot(*new[:, :2].mean(axis=0)) == pytest.approx(8, abs=0.1)
        assert new[:, 2].min() == pytest.approx(-_HEIGHT_M + 0.1, abs=0.05)
        angles.append(np.arctan2(new[:, 1].mean(), new[:, 0].mean()))
    # Half of the scans get none, since 0 objects are as likely as 1.
    assert 10 < len(angles) < 30
    assert np.ptp(angles) > 3


def test_pasted_object_hides_what_is_behind_it_and_nothing_else():
    scan, bank = street(), bank_of(person_at(-8, 0))
    result, new = pasted(scan, bank, seed=next(s for s in range(9) if len(pasted(scan, bank, s)[1])))
    kept = result.points[result.labels != PERSON]
    is_kept = np.isin(scan.points.view("f4,f4,f4,f4").ravel(), np.ascontiguousarray(kept).view("f4,f4,f4,f4").ravel())
    lost = scan.points[~is_kept]
    assert len(lost) > 20
    direction = np.arctan2(new[:, 1].mean(), new[:, 0].mean())
    turns = np.angle(np.exp(1j * (np.arctan2(lost[:, 1], lost[:, 0]) - direction)))
    assert np.abs(turns).max() < np.arctan2(0.6, 7.4) + np.deg2rad(0.5)
    assert np.linalg.norm(lost[:, :3], axis=1).min() > 7


def test_objects_are_pasted_on_streets_only_and_never_into_what_stands_there():
    assert not any(len(pasted(street(TERRAIN), bank_of(person_at(-8, 0)), seed)[1]) for seed in range(20))
    # 20 m ahead is the wall: no object in it or behind it, where one at 21 m would be if it were turned by little.
    persons = [pasted(street(), bank_of(person_at(-21, 0)), seed)[1] for seed in range(60)]
    furthest = [person[:, 0].max() for person in persons if len(person)]
    assert len(furthest) > 10
    assert max(furthest) < 20


def test_scan_stays_in_scan_order_and_unchanged_without_objects():
    scan = street()
    num_rings = rings_of(scan.points).max()
    for seed in range(6):
        result, _ = pasted(scan, bank_of(person_at(-8, 0)), seed)
        assert rings_of(result.points).max() == num_rings
    assert paste_objects(scan, ObjectBank(), np.random.default_rng(0), 3, SEMANTICKITTI) is scan


def test_bank_draws_each_class_as_often_however_many_objects_it_has():
    truck = SceneObject(box_of_points(-9, 0), np.zeros(200, np.int64), TRUCK, -_HEIGHT_M)
    bank = bank_of(truck, *(person_at(-8, 0) for _ in range(50)))
    assert len(bank) == 51
    generator = np.random.default_rng(0)
    num_trucks = sum(bank.draw(generator).class_id == TRUCK for _ in range(400))
    assert 150 < num_trucks < 250


def test_objects_of_a_real_scan_are_pasted_into_it(shared_data):
    folder = shared_data / "semantickitti/sequences/00"
    bank, scan = ObjectBank(), None
    for path in sorted((folder / "velodyne").glob("*.bin")):
        points = read_points(path)
        labels_path = folder / "labels" / f"{path.stem}.label"
        raw = read_raw_labels(labels_path, len(points))
        scan = Example.of_scan(points, SEMANTICKITTI.class_ids_from_raw(raw), raw >> 16)
        bank.add(objects_in(points, scan.labels, scan.instances, SEMANTICKITTI))
    assert len(bank) > 0
    before = np.bincount(scan.labels, minlength=20)
    gained = np.zeros(20, int)
    for seed in range(8):
        result = paste_objects(scan, bank, np.random.default_rng(seed), 4, SEMANTICKITTI)
        gained += np.bincount(result.labels, minlength=20) - before
    assert gained[2:9].sum() > 50


def test_many_pasted_objects_stand_apart():
    scan = street()
    bank = bank_of(person_at(-8, 0), person_at(-11, 0))
    for seed in range(5):
        result = paste_objects(scan, bank, np.random.default_rng(seed), 30, SEMANTICKITTI)
        new = result.points[result.labels == PERSON]
        assert len(new) % 200 == 0
        assert (np.bincount(result.instances)[1:] == 200).all()
        assert ((result.instances > 0) == (result.labels == PERSON)).all()
        assert result.is_current.all()
        directions = np.rad2deg(np.arctan2(new[:, 1], new[:, 0])) // 0.25
        distances = np.hypot(new[:, 0], new[:, 1])
        for direction in np.unique(directions):
            assert np.ptp(distances[directions == direction]) < 2
