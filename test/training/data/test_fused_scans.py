"""Scans of a folder with the past ones of their sequence behind them."""

import numpy as np
import pytest
import torch
from moving_drive import POINTS_A_SCAN, drive_scan, write_drive
from tiny_dataset import write_scan

from pvd_core.borders.errors import UserError
from pvd_core.clouds.history import PastScans
from pvd_core.taxonomy import SEMANTICKITTI_MULTISCAN
from pvd_core.voxels import CylindricalGrid
from training.data.augment import AugmentationConfig
from training.data.batches import BatchStream
from training.data.dataset import ScanFolder
from training.data.folder_stream import FolderStream
from training.data.fused_scans import FusedScans
from training.data.mix import MixingConfig

MOVING_CAR = SEMANTICKITTI_MULTISCAN.id_of("moving-car")


@pytest.fixture
def root(tmp_path):
    return write_drive(tmp_path, {"00": 6, "01": 3})


def fused_scans(root, past=2, stride=1, choice="train"):
    return FusedScans(ScanFolder(root, choice, taxonomy=SEMANTICKITTI_MULTISCAN), PastScans(past, stride))


def test_what_stands_still_lies_on_itself_and_what_moves_where_it_was(root):
    example = fused_scans(root).example(5)
    own, before, twice = np.split(example.points[:, :3], 3)
    assert (own == drive_scan(5)[0][:, :3]).all()
    np.testing.assert_allclose(before[:1500], own[:1500], atol=1e-4)
    np.testing.assert_allclose(twice[:1500], own[:1500], atol=1e-4)
    for part, metres in ((before, 3.0), (twice, 6.0)):
        np.testing.assert_allclose(np.linalg.norm(own - part, axis=1)[1500:], metres, atol=1e-4)


def test_past_points_keep_labels_and_objects_and_are_not_current(root):
    example = fused_scans(root).example(5)
    assert example.is_current.tolist() == [True] * POINTS_A_SCAN + [False] * 2 * POINTS_A_SCAN
    assert (example.labels.reshape(3, -1)[:, 1500:] == MOVING_CAR).all()
    assert (example.instances.reshape(3, -1) == np.repeat((0, 7), (1500, 300))).all()


def test_the_first_scans_have_the_past_ones_that_there_are_and_none_of_another_sequence(root):
    scans = fused_scans(root)
    assert [len(scans.example(index)) // POINTS_A_SCAN for index in range(9)] == [1, 2, 3, 3, 3, 3, 1, 2, 3]
    assert [len(scans.points(index)) // POINTS_A_SCAN for index in range(9)] == [1, 2, 3, 3, 3, 3, 1, 2, 3]
    of_stride_two = fused_scans(root, stride=2)
    assert [len(of_stride_two.example(index)) // POINTS_A_SCAN for index in range(6)] == [1, 1, 2, 2, 3, 3]
    assert scans.remarks == []


def test_a_scan_that_is_not_there_is_left_out_by_its_number(root):
    for name in ("velodyne/000003.bin", "labels/000003.label"):
        (root / "sequences/00" / name).unlink()
    scans = fused_scans(root, choice="00")
    # Frames 0, 1, 2, 4, 5: frame 4 has frame 2 behind it, frame 5 has frame 4.
    assert [len(scans.points(index)) // POINTS_A_SCAN for index in range(5)] == [1, 2, 3, 2, 2]
    points = scans.points(3)
    np.testing.assert_allclose(points[POINTS_A_SCAN:][:1500, :3], points[:1500, :3], atol=1e-4)
    assert "has 6 poses for 5 scans: right where scans of the sequence were left out" in scans.remarks[0]
    assert "fewer than 2 past scans are put behind 2 of 5 scans (first 000004)" in scans.remarks[1]


def test_without_past_scans_no_poses_are_needed(root):
    (root / "sequences/00/poses.txt").unlink()
    scans = fused_scans(root, past=0, choice="00")
    points, labels = scans.labelled_points(4)
    assert len(points) == len(labels) == len(scans.example(4)) == POINTS_A_SCAN
    with pytest.raises(UserError, match=r"poses\.txt is missing"):
        fused_scans(root, choice="00")


def test_scans_before_a_jump_of_the_poses_are_left_out_and_counted(root):
    path = root / "sequences/00/poses.txt"
    lines = path.read_text().splitlines()
    # The camera's x is the LiDAR's -y.
    jumped = [[float(word) for word in line.split()] for line in lines[3:]]
    for row in jumped:
        row[3] += 500
    path.write_text("\n".join([*lines[:3], *(" ".join(map(str, row)) for row in jumped)]))
    scans = fused_scans(root, choice="00")
    assert [len(scans.points(index)) // POINTS_A_SCAN for index in range(6)] == [1, 2, 3, 1, 2, 3]
    assert "the scans before the jump are not put behind 2 scans" in scans.remarks[0]


def test_past_points_without_a_return_are_left_out(root):
    points, raw = drive_scan(4)
    points[:100, :3] = 0
    write_scan(root, "00", "000004", points, raw)
    scans = fused_scans(root, past=1)
    assert len(scans.points(4)) == 2 * POINTS_A_SCAN
    assert len(scans.points(5)) == 2 * POINTS_A_SCAN - 100
    assert len(scans.example(4)) == 2 * POINTS_A_SCAN - 100
    assert scans.example(5).is_current.sum() == POINTS_A_SCAN


def test_sequences_without_any_past_scan_are_told(tmp_path):
    for frame in (0, 40, 80):
        write_scan(tmp_path, "00", f"{frame:06d}", *drive_scan(frame))
    calibration = write_drive(tmp_path / "other", {"00": 81}).joinpath("sequences/00")
    for name in ("poses.txt", "calib.txt"):
        (tmp_path / "sequences/00" / name).write_text((calibration / name).read_text())
    assert "none of 3 scans has a past scan that fits" in fused_scans(tmp_path).remarks[-1]


@pytest.mark.parametrize("mixing", [MixingConfig(), MixingConfig(laser_mix=0.5, polar_mix=0.5)])
def test_currency_is_carried_through_mixing_augmentation_and_batching(root, mixing):
    folder = ScanFolder(root, "00", taxonomy=SEMANTICKITTI_MULTISCAN)
    config = AugmentationConfig(drop_points=0.3, drop_patches=2)
    scans = FolderStream(folder, range(2, 6), 0, past=PastScans(2))
    stream = BatchStream(scans, 2, 0, config, mixing, CylindricalGrid((24, 18, 8)), "cpu", max_voxels=400)
    for number in range(4):
        batch = stream.batch(number)
        num_points = len(batch.voxels.point_features_PF)
        assert len(batch.is_current_P) == len(batch.instances_P) == len(batch.point_labels_P) == num_points
        assert 0.2 < batch.is_current_P.float().mean() < 0.5
        # The moving car alone is an object.
        assert torch.equal(batch.instances_P > 0, batch.point_labels_P == MOVING_CAR)


def test_the_stream_says_what_is_behind_each_scan(root):
    folder = ScanFolder(root, "00")
    assert "2 past scans behind each, every 3." in FolderStream(folder, [5], 0, past=PastScans(2, 3)).describe()
    assert "past" not in FolderStream(folder, [5], 0).describe()
