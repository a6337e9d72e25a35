"""The demo with several scans: its bag with odometry, and the scores of what moves."""

import numpy as np
import pytest
from moving_drive import drive_scan, pose_at, write_drive

from pvd_cli.demo.movers import iou_of, print_movers, scores_of
from pvd_cli.demo.odometry import ODOMETRY, write_bag_with_odometry
from pvd_core import shipped_weights
from pvd_core.clouds.example import spinning_scan
from pvd_core.clouds.history import PastScans
from pvd_core.segmenter import Segmenter
from pvd_core.taxonomy import SEMANTICKITTI, SEMANTICKITTI_MULTISCAN
from pvd_ros.bags import open_bag
from pvd_ros.bags.types import cloud_from_bytes, typestore
from pvd_ros.codec import decode, stamp_of
from pvd_ros.poses import OdometryPoses, PoseLimits
from training.judge.metrics import ConfusionMatrix


def test_the_bag_of_a_drive_has_its_clouds_and_its_poses_with_a_little_noise(tmp_path):
    sequence = write_drive(tmp_path, {"08": 4}) / "sequences" / "08"
    (sequence / "times.txt").write_text("".join(f"{0.1 * frame}\n" for frame in range(4)))
    assert write_bag_with_odometry(sequence, tmp_path / "bag", "/lidar") == 4
    source = OdometryPoses(ODOMETRY, PoseLimits())
    with open_bag(tmp_path / "bag") as bag:
        for message in bag.messages(ODOMETRY):
            source.add(typestore().deserialize_cdr(message.raw, message.channel.message_type))
        clouds = [cloud_from_bytes(message.raw) for message in bag.messages("/lidar")]
    for frame, cloud in enumerate(clouds):
        np.testing.assert_array_equal(decode(cloud).points, drive_scan(frame)[0])
        error = np.linalg.inv(pose_at(frame)) @ source.pose(stamp_of(cloud), cloud.header.frame_id)
        assert 0 < np.abs(error - np.eye(4)).max() < 0.06


def test_weights_that_ship_for_several_scans_know_what_moves_and_how_far_back_points_are():
    segmenter = Segmenter.from_weights("multiscan", device="cpu")
    assert segmenter.past_scans == PastScans(past=2, stride=2, time=True)
    assert segmenter.taxonomy == SEMANTICKITTI_MULTISCAN
    assert Segmenter.from_weights(shipped_weights("multiscan"), device="cpu").facts == segmenter.facts


def test_shipped_weights_tell_a_driving_car_from_one_that_stands():
    """A car ahead to the left on flat ground, seen three times from a standing sensor."""
    segmenter, generator = Segmenter.from_weights("multiscan", device="cpu"), np.random.default_rng(0)
    ground = spinning_scan(60_000)
    ground = ground[np.hypot(ground[:, 0], ground[:, 1]) < 35]
    # What the sensor sees of it: side, rear and roof.
    surfaces = (
        ((-2, 2), (-0.9, -0.9), (-1.5, -0.3)),
        ((-2, -2), (-0.9, 0.9), (-1.5, -0.3)),
        ((-1.2, 1.2), (-0.8, 0.8), (-0.2, -0.2)),
    )
    limits = np.repeat(surfaces, (900, 400, 300), axis=0)
    car = np.column_stack((generator.uniform(limits[..., 0], limits[..., 1]), np.full(1600, 0.3)))

    def share_moving(metres_a_scan):
        scans = []
        for back in (0, *segmenter.past_scans.steps):
            moved = car + np.array((12.0 - metres_a_scan * back, 3.5, 0, 0))
            scans.append(segmenter.past_scans.aged(np.concatenate((moved, ground)).astype(np.float32), back))
        labels = segmenter.segment(np.concatenate(scans)).labels[: len(car)]
        return np.isin(labels, SEMANTICKITTI_MULTISCAN.moving).mean()

    assert share_moving(0.0) < 0.15
    assert share_moving(1.0) > 0.3


def matrices(taxonomy, seed=0):
    generator = np.random.default_rng(seed)
    truth, fused, single = generator.integers(0, taxonomy.num_classes, (3, 4000))
    found = []
    for labels in (fused, single):
        found.append(ConfusionMatrix(taxonomy))
        found[-1].update(np.maximum(labels, 1), truth)
    return truth, (np.maximum(fused, 1), np.maximum(single, 1)), found


def test_the_iou_of_all_that_moves_is_that_of_one_class():
    taxonomy = SEMANTICKITTI_MULTISCAN
    truth, labels, (fused, single) = matrices(taxonomy)
    scores, known = scores_of(fused, single), truth > 0
    for given, found in zip(labels, (scores.fused, scores.single), strict=True):
        is_moving, is_said = np.isin(truth, taxonomy.moving), np.isin(given, taxonomy.moving)
        expected = (is_moving & is_said & known).sum() / ((is_moving | is_said) & known).sum()
        assert found["moving"] == pytest.approx(expected)
    assert scores.num_points["moving"] == np.isin(truth, taxonomy.moving).sum()
    for class_id in taxonomy.moving:
        assert scores.fused[taxonomy.names[class_id]] == pytest.approx(fused.iou()[class_id])


def test_classes_that_may_move_are_compared_where_none_tell_what_does(capsys):
    _, _, (fused, single) = matrices(SEMANTICKITTI)
    scores = scores_of(fused, single)
    assert list(scores.fused) == list(SEMANTICKITTI.names[1:9])
    print_movers(scores, 3)
    printed = capsys.readouterr().out
    assert "IoU % of movers: 3 scans fused, against the same clouds alone" in printed
    assert "moving IoU: none, as these weights have one class for what moves and what stands" in printed


def test_a_moving_iou_is_printed_and_one_without_movers_is_not_a_number(capsys):
    _, _, found = matrices(SEMANTICKITTI_MULTISCAN)
    print_movers(scores_of(*found), 3)
    assert "moving IoU " in (printed := capsys.readouterr().out)
    assert "all moving classes taken for one" in printed
    empty = ConfusionMatrix(SEMANTICKITTI_MULTISCAN)
    assert iou_of(empty, [20]) == 0
    print_movers(scores_of(empty, empty), 3)
    assert "moving IoU: nothing moves in this drive" in capsys.readouterr().out
