"""Objects cut out of scans and put onto later ones: what is kept, what is refused, where the points land."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import cKDTree
from tiny_dataset import write_scan

from pvd_core.borders.errors import UserError
from pvd_core.taxonomy import SEMANTICKITTI
from training.data.dataset import ScanFolder
from training.data.instances.cut import cut_instances, cut_scan
from training.data.instances.fusion import fused
from training.data.instances.past import PastObjects
from training.data.instances.store import Cut, check_instances, read_cut
from training.data.instances.width import widest_of_classes

BICYCLE, TRUCK, OTHER_VEHICLE, PERSON, ROAD = 2, 4, 5, 6, 9
RAW_BICYCLE, RAW_PERSON, RAW_MOVING_PERSON, RAW_ROAD, RAW_CAR = 11, 30, 254, 40, 10
HARD = (2, 3, 4, 5, 6, 7, 8)
WIDEST_C = widest_of_classes(SEMANTICKITTI)


def walking(frame, num_points=30):
    """(points, raw labels) of a person with id 5 who walks along x, a bicycle 3 that only frame 0 shows, persons
    without id, a car 5 and road."""
    generator = np.random.default_rng(frame)
    shape = generator.normal(0, 0.2, (num_points, 3))
    person = shape - shape.mean(axis=0) + (5 + 0.5 * frame, 2, 0)
    parts = [(person, RAW_MOVING_PERSON | 5 << 16), (generator.normal(0, 5, (40, 3)), RAW_ROAD)]
    parts += [(generator.normal(9, 1, (7, 3)), RAW_PERSON), (generator.normal(-9, 1, (8, 3)), RAW_CAR | 5 << 16)]
    if frame == 0:
        parts.append((generator.normal(-5, 0.1, (9, 3)), RAW_BICYCLE | 3 << 16))
    xyz = np.concatenate([xyz for xyz, _ in parts])
    raw = np.concatenate([np.full(len(xyz), label, np.uint32) for xyz, label in parts])
    return np.column_stack((xyz, np.full(len(xyz), 0.5))).astype(np.float32), raw


@pytest.fixture
def data(tmp_path):
    for frame in range(4):
        write_scan(tmp_path / "data", "00", f"{frame:06d}", *walking(frame))
    return ScanFolder(tmp_path / "data", "00")


def test_the_objects_of_hard_classes_are_cut_out_of_every_scan(data, tmp_path):
    seen = []
    counts = cut_instances(data, tmp_path / "cut", HARD, lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    points, raw = walking(0)
    cut = read_cut(tmp_path / "cut", "00/000000")
    is_cut = np.isin(raw, (RAW_MOVING_PERSON | 5 << 16, RAW_BICYCLE | 3 << 16))
    assert np.array_equal(cut.points, points[is_cut])
    assert np.array_equal(cut.instances, raw[is_cut] >> 16)
    assert cut.objects() == {(PERSON, 5), (BICYCLE, 3)}
    (of_sequence,) = counts.values()
    assert of_sequence.scans_of_objects == {(PERSON, 5): 4, (BICYCLE, 3): 1}
    assert (of_sequence.num_scans, of_sequence.num_cut, of_sequence.num_points) == (4, 5, 4 * 30 + 9)
    assert (of_sequence.num_without_id, of_sequence.num_once) == (4 * 7, 1)


def test_cutting_goes_on_with_what_is_not_whole(data, tmp_path):
    counts = cut_instances(data, tmp_path / "cut", HARD)
    paths = sorted((tmp_path / "cut" / "00").glob("*.npz"))
    before = [read_cut(tmp_path / "cut", f"00/{path.stem}") for path in paths]
    paths[1].unlink()
    content = paths[2].read_bytes()
    paths[2].write_bytes(content[: len(content) // 2])
    paths[3].write_bytes(b"")
    assert cut_instances(data, tmp_path / "cut", HARD) == counts
    for path, expected in zip(paths, before, strict=True):
        cut = read_cut(tmp_path / "cut", f"00/{path.stem}")
        assert all(np.array_equal(getattr(cut, key), value) for key, value in vars(expected).items())


def test_whole_scans_are_not_read_again(data, tmp_path, monkeypatch):
    cut_instances(data, tmp_path / "cut", HARD)
    monkeypatch.setattr(ScanFolder, "example", lambda *_: pytest.fail("was read again"))
    cut_instances(data, tmp_path / "cut", HARD)


def test_a_folder_with_something_else_is_refused(data, tmp_path):
    cut_instances(data, tmp_path / "cut", HARD)
    with pytest.raises(UserError, match=r"class_ids = \[2, 3, 4, 5, 6, 7, ...\], here it is \[6\]"):
        cut_instances(data, tmp_path / "cut", (PERSON,))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("all that there is")
    with pytest.raises(UserError, match=r"not empty \(it holds 'thesis.txt'\)"):
        cut_instances(data, tmp_path / "full", HARD)
    (tmp_path / "cut" / "about.json").write_text("{")
    with pytest.raises(UserError, match="damaged"):
        cut_instances(data, tmp_path / "cut", HARD)


def test_labels_without_instance_ids_are_refused(tmp_path):
    for frame in range(3):
        points, raw = walking(frame)
        write_scan(tmp_path / "data", "00", f"{frame:06d}", points, raw & 0xFFFF)
    with pytest.raises(UserError, match=r"no instance ids: all 120 points of hard classes in 3 scans have 0"):
        cut_instances(ScanFolder(tmp_path / "data", "00"), tmp_path / "cut", HARD)


def test_ids_that_things_share_are_ids(tmp_path):
    points, raw = walking(0)
    raw[raw == (RAW_BICYCLE | 3 << 16)] = RAW_ROAD
    points[0, 0] += 20
    write_scan(tmp_path / "data", "00", "000000", points, raw)
    counts = cut_instances(ScanFolder(tmp_path / "data", "00"), tmp_path / "cut", HARD)
    assert (counts["00"].num_cut, counts["00"].num_shared) == (0, 30)


def test_scans_without_hard_classes_are_no_error(tmp_path):
    points, raw = walking(0)
    write_scan(tmp_path / "data", "00", "000000", points, np.full_like(raw, RAW_ROAD))
    counts = cut_instances(ScanFolder(tmp_path / "data", "00"), tmp_path / "cut", HARD)
    assert (counts["00"].num_cut, counts["00"].num_without_id) == (0, 0)
    assert len(read_cut(tmp_path / "cut", "00/000000").points) == 0


def test_a_missing_or_damaged_cut_is_named_with_what_to_do(data, tmp_path):
    cut_instances(data, tmp_path / "cut", HARD)
    with pytest.raises(UserError, match=r"of scan 00/000009: expected .* run `pvd dataset instances` again"):
        read_cut(tmp_path / "cut", "00/000009")
    path = tmp_path / "cut" / "00" / "000001.npz"
    for content in (b"", b"PK\x03\x04", path.read_bytes()[:-200]):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"000001.npz is damaged"):
            read_cut(tmp_path / "cut", "00/000001")
    np.savez(path, points=np.zeros((3, 4)), class_ids=np.zeros(3), instances=np.zeros(2), num_left_out=np.zeros(2))
    with pytest.raises(UserError, match=r"points is float64 \(3, 4\), expected float32"):
        read_cut(tmp_path / "cut", "00/000001")


def test_cuts_of_other_classes_or_no_cuts_at_all_are_refused_before_training(data, tmp_path):
    cut_instances(data, tmp_path / "cut", (PERSON,))
    check_instances(tmp_path / "cut", "semantickitti", (PERSON,))
    with pytest.raises(UserError, match=r"lacks objects of classes \[2\]"):
        check_instances(tmp_path / "cut", "semantickitti", (BICYCLE, PERSON))
    with pytest.raises(UserError, match="taxonomy 'semantickitti', expected 'semantickitti-multiscan'"):
        check_instances(tmp_path / "cut", "semantickitti-multiscan", (PERSON,))
    with pytest.raises(UserError, match="expected a folder that `pvd dataset instances` made"):
        check_instances(tmp_path / "nowhere", "semantickitti", (PERSON,))
    (tmp_path / "cut" / "about.json").write_text(json.dumps([1]))
    with pytest.raises(UserError, match="expected a folder that `pvd dataset instances` made"):
        check_instances(tmp_path / "cut", "semantickitti", (PERSON,))


def of_frame(data, index):
    example = data.example(index)
    points, class_ids, instances = example.points, example.labels, example.instances
    return points, class_ids, instances, cut_scan(points, class_ids, instances, HARD, WIDEST_C)


def test_past_points_of_an_object_land_on_it_and_nothing_else_is_appended(data):
    points, class_ids, instances, _ = of_frame(data, 3)
    past = [of_frame(data, index)[3] for index in (2, 1, 0)]
    appended = fused(points, class_ids, instances, past, WIDEST_C)
    assert len(appended.points) == 3 * 30
    assert appended.objects() == {(PERSON, 5)}
    own = points[(class_ids == PERSON) & (instances == 5)]
    for part in np.split(appended.points, 3):
        np.testing.assert_allclose(part[:, :3].mean(axis=0), own[:, :3].mean(axis=0), atol=1e-5)
    # Each part is the object as that scan saw it, moved.
    of_past = past[0].points[past[0].instances == 5]
    step = appended.points[:30, :3] - of_past[:, :3]
    np.testing.assert_allclose(step, np.broadcast_to(step[0], step.shape), atol=1e-5)
    assert step[0][0] == pytest.approx(0.5, abs=1e-5)
    assert np.array_equal(appended.points[:30, 3], of_past[:, 3])


def test_the_scan_s_own_points_are_not_appended_and_the_past_stays_as_it_was(data):
    points, class_ids, instances, _ = of_frame(data, 3)
    past = [of_frame(data, 2)[3]]
    before = past[0].points.copy()
    appended = fused(points, class_ids, instances, past, WIDEST_C)
    assert np.array_equal(past[0].points, before)
    assert not {tuple(p) for p in appended.points.tolist()} & {tuple(p) for p in points.tolist()}


def test_the_same_id_of_another_class_is_another_object(data):
    points, class_ids, instances, cut = of_frame(data, 3)
    other = replace(cut, class_ids=np.full_like(cut.class_ids, BICYCLE))
    assert len(fused(points, class_ids, instances, [other], WIDEST_C).points) == 0


def test_points_without_an_object_and_objects_that_are_gone_append_nothing(data):
    _, _, _, cut = of_frame(data, 0)
    points = np.zeros((3, 4), np.float32)
    class_ids = np.array([PERSON, ROAD, BICYCLE], np.uint8)
    instances = np.array([0, 5, 4], np.uint16)
    appended = fused(points, class_ids, instances, [cut], WIDEST_C)
    assert (appended.points.shape, appended.points.dtype) == ((0, 4), np.float32)
    assert fused(points, class_ids, instances, [], WIDEST_C).objects() == set()


def test_no_object_at_all_in_the_past_appends_nothing(data):
    points, class_ids, instances, _ = of_frame(data, 3)
    nothing = Cut(np.empty((0, 4), np.float32), np.empty(0, np.uint8), np.empty(0, np.uint16))
    assert len(fused(points, class_ids, instances, [nothing], WIDEST_C).points) == 0


def test_an_id_that_several_people_share_is_left_out_and_counted(data):
    points, class_ids, instances, cut = of_frame(data, 0)
    apart = points.copy()
    apart[np.flatnonzero(instances == 5)[0], 0] += 10
    shared = cut_scan(apart, class_ids, instances, HARD, WIDEST_C)
    assert (shared.objects(), shared.num_shared, cut.num_shared) == ({(BICYCLE, 3)}, 30, 0)
    assert fused(apart, class_ids, instances, [cut], WIDEST_C).objects() == {(BICYCLE, 3)}
    # A truck may be as long.
    trucks = np.where(class_ids == PERSON, TRUCK, class_ids)
    assert (TRUCK, 5) in cut_scan(apart, trucks, instances, HARD, WIDEST_C).objects()


def test_past_scans_of_real_objects_land_on_them(shared_data, tmp_path):
    folder = ScanFolder(shared_data / "semantickitti", "04")
    counts = cut_instances(folder, tmp_path / "cut", HARD)
    # Several people have id 1 together.
    assert counts["04"].num_shared == 111 + 30 + 90 + 111 + 107
    index = len(folder) - 1
    example = folder.example(index)
    enriched = PastObjects(tmp_path / "cut", folder, HARD, num_past=4).onto(example, index)
    past = enriched.chosen(~enriched.is_current)
    assert set(zip(past.labels.tolist(), past.instances.tolist(), strict=True)) == {(OTHER_VEHICLE, 1), (PERSON, 2)}
    for class_id, instance in ((OTHER_VEHICLE, 1), (PERSON, 2)):
        own, of_past = (
            each.points[(each.labels == class_id) & (each.instances == instance), :3] for each in (example, past)
        )
        distances, _ = cKDTree(own).query(of_past)
        assert np.median(distances) < 0.12


def test_past_scans_of_real_objects_that_stand_still_are_placed_by_poses(shared_data, tmp_path):
    """08: two people and a bicycle that stand while the sensor drives on."""
    folder = ScanFolder(shared_data / "semantickitti", "08")
    cut_instances(folder, tmp_path / "cut", HARD)
    example, medians = folder.example(4), []
    past = PastObjects(tmp_path / "cut", folder, HARD, 4, "poses").onto(example, 4)
    past = past.chosen(~past.is_current)
    for class_id, instance in sorted(set(zip(past.labels.tolist(), past.instances.tolist(), strict=True))):
        own, of_past = (
            each.points[(each.labels == class_id) & (each.instances == instance), :3] for each in (example, past)
        )
        distances, _ = cKDTree(own).query(of_past)
        medians.append(np.median(distances))
    assert len(medians) > 5
    assert max(medians) < 0.2


def test_placing_by_poses_without_poses_is_refused(data, tmp_path):
    cut_instances(data, tmp_path / "cut", HARD)
    with pytest.raises(UserError, match=r"poses\.txt"):
        PastObjects(tmp_path / "cut", data, HARD, 4, "poses")
