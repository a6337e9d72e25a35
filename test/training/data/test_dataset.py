"""Reading of SemanticKITTI folders, good and bad."""

import numpy as np
import pytest
from tiny_dataset import random_scan, write_dataset, write_scan

from pvd_core.borders.errors import UserError
from training.data.dataset import ScanFolder


def scan_path(root, sequence="08", frame="000000", kind="bin"):
    return root / "sequences" / sequence / ("velodyne" if kind == "bin" else "labels") / f"{frame}.{kind}"


def test_points_and_class_ids_come_as_written(tmp_path):
    write_dataset(tmp_path, {"08": 1})
    points, labels = ScanFolder(tmp_path, "valid").labelled_points(0)
    expected_points, raw = random_scan(np.random.default_rng((8, 0)))
    assert points.dtype == np.float32
    assert labels.dtype == np.uint8
    assert (points == expected_points).all()
    class_of_raw = {40: 9, 50: 13, 10: 1, 252: 1}
    assert labels.tolist() == [class_of_raw[value & 0xFFFF] for value in raw.tolist()]


def test_scans_are_sorted_by_sequence_and_frame(tmp_path):
    points, raw = random_scan(np.random.default_rng(0))
    for sequence, frame in (("03", "000010"), ("00", "000002"), ("03", "000009"), ("00", "000000")):
        write_scan(tmp_path, sequence, frame, points, raw)
    folder = ScanFolder(tmp_path, "train")
    assert [scan.name for scan in folder.scans] == ["00/000000", "00/000002", "03/000009", "03/000010"]


def test_split_uses_the_sequences_that_exist_and_says_which(tmp_path):
    folder = ScanFolder(write_dataset(tmp_path, {"00": 1, "07": 2, "08": 1, "11": 1}), "train")
    assert folder.sequences == ("00", "07")
    assert len(folder) == 3
    assert "3 scans of sequences 00, 07" in folder.describe()
    assert "not there: 01, 02, 03, 04, 05, 06, 09, 10" in folder.describe()


def test_official_splits_share_no_sequence_and_cover_all_22(tmp_path):
    write_dataset(tmp_path, {f"{number:02d}": 1 for number in range(22)})
    used = [ScanFolder(tmp_path, split).sequences for split in ("train", "valid", "test")]
    assert used[1] == ("08",)
    assert sorted(sum(used, ())) == [f"{number:02d}" for number in range(22)]


def test_test_split_needs_no_labels(tmp_path):
    points, _ = random_scan(np.random.default_rng(0))
    write_scan(tmp_path, "11", "000000", points, None)
    assert len(ScanFolder(tmp_path, "test").points(0)) == 2000


@pytest.mark.parametrize("choice", [["00", "08"], ["08", "00"], (0, 8), ("0", "8")])
def test_explicit_sequences_may_lack_their_leading_zero(tmp_path, choice):
    assert ScanFolder(write_dataset(tmp_path, {"00": 1, "08": 1}), choice).sequences == ("00", "08")


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (["00", "05"], "no sequence 05; found 00, 08"),
        ("test", "no sequence 11, .*split 'test'; found 00, 08"),
        ("val", "unknown split 'val': expected train, valid, test"),
        ([], "expected at least one"),
        (["00", "0"], "each once"),
    ],
)
def test_sequences_that_cannot_be_used_are_named(tmp_path, choice, message):
    write_dataset(tmp_path, {"00": 1, "08": 1})
    with pytest.raises(UserError, match=message):
        ScanFolder(tmp_path, choice)


def test_missing_root_and_missing_layout_are_told_apart(tmp_path):
    with pytest.raises(UserError, match="absent does not exist"):
        ScanFolder(tmp_path / "absent", "train")
    with pytest.raises(UserError, match="no folder 'sequences'"):
        ScanFolder(tmp_path, "train")
    write_dataset(tmp_path, {"00": 1})
    with pytest.raises(UserError, match=f"give its parent {tmp_path} instead"):
        ScanFolder(tmp_path / "sequences", "train")


def test_missing_label_file_is_named_when_the_folder_is_opened(tmp_path):
    write_dataset(tmp_path, {"08": 3})
    scan_path(tmp_path, frame="000001", kind="label").unlink()
    with pytest.raises(UserError, match=r"1 of 3 scans .* 08 have no labels.*000001\.label"):
        ScanFolder(tmp_path, "valid")


def test_sequence_without_scans_is_refused(tmp_path):
    write_dataset(tmp_path, {"08": 1})
    scan_path(tmp_path).unlink()
    with pytest.raises(UserError, match=r"velodyne holds no \.bin scans"):
        ScanFolder(tmp_path, "valid")


@pytest.mark.parametrize(("kind", "num_bytes"), [("bin", 16), ("label", 4)])
def test_truncated_file_is_refused_with_its_size(tmp_path, kind, num_bytes):
    write_dataset(tmp_path, {"08": 1})
    path = scan_path(tmp_path, kind=kind)
    path.write_bytes(path.read_bytes()[:-1])
    message = f"{path} is truncated: found {2000 * num_bytes - 1} bytes, expected a multiple of {num_bytes}"
    with pytest.raises(UserError, match=message):
        ScanFolder(tmp_path, "valid").labelled_points(0)


def test_label_count_that_differs_from_the_point_count_is_refused(tmp_path):
    write_dataset(tmp_path, {"08": 1})
    path = scan_path(tmp_path, kind="label")
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(UserError, match=r"holds 1998 labels, its scan 2000 points"):
        ScanFolder(tmp_path, "valid").labelled_points(0)


def test_unknown_raw_label_names_the_file_and_the_id(tmp_path):
    points, raw = random_scan(np.random.default_rng(0))
    raw[5] = 77 | (3 << 16)
    write_scan(tmp_path, "08", "000000", points, raw)
    with pytest.raises(UserError, match=r"000000\.label: unknown raw label ids 77 \(1 point\)"):
        ScanFolder(tmp_path, "valid").labelled_points(0)


def test_empty_scan_has_no_points(tmp_path):
    write_scan(tmp_path, "08", "000000", np.zeros((0, 4)), np.zeros(0))
    points, labels = ScanFolder(tmp_path, "valid").labelled_points(0)
    assert points.shape == (0, 4)
    assert labels.shape == (0,)


def test_evenly_spaced_scans_are_distinct_and_span_the_folder(tmp_path):
    folder = ScanFolder(write_dataset(tmp_path, {"08": 10}), "valid")
    assert folder.evenly_spaced(None) == folder.evenly_spaced(99) == list(range(10))
    assert folder.evenly_spaced(4) == [0, 2, 5, 7]


def test_fingerprint_changes_with_the_scans_but_not_with_the_place(tmp_path):
    first = ScanFolder(write_dataset(tmp_path / "a", {"08": 3}), "valid").fingerprint()
    assert ScanFolder(write_dataset(tmp_path / "b", {"08": 3}), "valid").fingerprint() == first
    assert ScanFolder(write_dataset(tmp_path / "b", {"08": 4}), "valid").fingerprint() != first


def test_real_scans_overlap_when_moved_by_their_poses(shared_data):
    spatial = pytest.importorskip("scipy.spatial")
    root = shared_data / "semantickitti"
    sequence = root / "sequences" / "08"
    folder = ScanFolder(root, "valid")
    lidar_to_camera, *poses = (np.eye(4) for _ in range(6))
    lines = dict(line.split(":", 1) for line in (sequence / "calib.txt").read_text().splitlines() if ":" in line)
    lidar_to_camera[:3] = np.array(lines["Tr"].split(), float).reshape(3, 4)
    for pose, row in zip(poses, np.loadtxt(sequence / "poses.txt"), strict=False):
        pose[:3] = row.reshape(3, 4)
    first, second = folder.points(0), folder.points(4)
    assert [folder.scans[i].frame for i in (0, 4)] == ["000000", "000004"]
    move = np.linalg.inv(poses[0] @ lidar_to_camera) @ poses[4] @ lidar_to_camera
    moved = second[:, :3] @ move[:3, :3].T + move[:3, 3]
    distances, _ = spatial.cKDTree(first[:, :3]).query(moved[::20])
    assert np.median(distances) < 0.15


def test_intensity_of_a_simulated_sensor_that_ends_at_255_is_brought_to_one(tmp_path):
    write_dataset(tmp_path, {"08": 1})
    (tmp_path / "simulation.json").write_text('{"sensor": "vlp16", "intensity_max": 255.0}')
    folder = ScanFolder(tmp_path, "valid")
    expected, _ = random_scan(np.random.default_rng((8, 0)))
    assert folder.points(0)[:, 3] == pytest.approx(expected[:, 3] / 255)
    assert (folder.points(0)[:, :3] == expected[:, :3]).all()
    assert "divided by 255" in folder.describe()


def test_other_scans_beyond_the_range_of_intensity_are_remarked_on_and_left_alone(tmp_path):
    points, raw = random_scan(np.random.default_rng(0))
    write_scan(tmp_path, "08", "000000", points, raw)
    assert ScanFolder(tmp_path, "valid").remark() == ""
    points[:, 3] *= 255 / points[:, 3].max()
    write_scan(tmp_path, "08", "000000", points, raw)
    folder = ScanFolder(tmp_path, "valid")
    assert "intensity reaches 255" in folder.remark()
    assert (folder.points(0) == points).all()


@pytest.mark.parametrize("name", ["Sequences", "sequences/00/Velodyne", "sequences/08/LABELS"])
def test_folders_that_are_spelt_in_capitals_are_named(tmp_path, name):
    root = write_dataset(tmp_path, {"00": 1, "08": 1})
    (root / name.lower()).rename(root / name)
    folder, _, spelt = f"{tmp_path}/{name}".rpartition("/")
    with pytest.raises(UserError, match=f"{folder} holds '{spelt}', expected '{spelt.lower()}', in small letters"):
        ScanFolder(root, "train")
