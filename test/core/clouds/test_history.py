"""A history of scans: where fused points come to lie, and which are current."""

import numpy as np
import pytest

from pvd_core.borders.errors import UserError
from pvd_core.clouds.history import PastScans, ScanHistory

SCENE = np.random.default_rng(0).uniform((-60, -60, -2), (60, 60, 4), (500, 3))


def pose_at(index, origin=(0.0, 0.0, 0.0)):
    """A vehicle in a bend, a metre a scan."""
    yaw, pitch = 0.05 * index, 0.01 * index
    turn = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    nod = np.array([[np.cos(pitch), 0, np.sin(pitch)], [0, 1, 0], [-np.sin(pitch), 0, np.cos(pitch)]])
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = turn @ nod, np.add(origin, (index, 0.1 * index, 0.02 * index))
    return pose


def seen(pose, origin=(0.0, 0.0, 0.0), intensity=0.5):
    """The scene as the sensor sees it at `pose`: float32 (500, 4)."""
    xyz = (SCENE + origin - pose[:3, 3]) @ pose[:3, :3]
    return np.column_stack((xyz, np.full(len(xyz), intensity))).astype(np.float32)


@pytest.mark.parametrize("origin", [(0.0, 0.0, 0.0), (6.9e5, 5.3e6, 300.0)], ids=["local", "map coordinates"])
def test_past_points_lie_where_the_scene_is_now(origin):
    history = ScanHistory(PastScans(3))
    for index in range(5):
        pose = pose_at(index, origin)
        points = seen(pose, origin)
        fused, _ = history.fuse(points, pose)
        assert fused.dtype == np.float32
        assert len(fused) == 500 * min(index + 1, 4)
        for part in np.split(fused, len(fused) // 500):
            np.testing.assert_allclose(part[:, :3], points[:, :3], atol=1e-4)


def test_the_points_of_the_scan_come_first_unchanged_in_order():
    history = ScanHistory(PastScans(2))
    for index in range(4):
        points = seen(pose_at(index), intensity=index / 10)
        fused, is_current = history.fuse(points, pose_at(index))
        assert is_current.dtype == bool
        assert is_current.tolist() == [True] * 500 + [False] * (len(fused) - 500)
        assert fused[is_current].tobytes() == points.tobytes()
    assert fused[::500, 3].tolist() == np.array([0.3, 0.2, 0.1], np.float32).tolist()


def test_a_stride_takes_every_nth_past_scan():
    history = ScanHistory(PastScans(2, 3))
    for index in range(9):
        fused, _ = history.fuse(seen(pose_at(index), intensity=index / 10), pose_at(index))
    assert fused[::500, 3].tolist() == np.array([0.8, 0.5, 0.2], np.float32).tolist()


def test_a_history_of_no_past_scan_gives_the_scan_itself():
    history = ScanHistory(PastScans(0))
    for index in range(3):
        points = seen(pose_at(index))
        fused, is_current = history.fuse(points, pose_at(index))
        assert fused.tobytes() == points.tobytes()
        assert is_current.all()


def test_with_time_points_carry_how_many_scans_back_they_are():
    timed, plain = ScanHistory(PastScans(2, 3, time=True)), ScanHistory(PastScans(2, 3))
    for index in range(9):
        points = seen(pose_at(index))
        fused, _ = timed.fuse(points, pose_at(index))
        assert fused.dtype == np.float32
        assert fused[:, :4].tobytes() == plain.fuse(points, pose_at(index))[0].tobytes()
        assert fused[:, 4].tolist() == np.repeat([0, 3, 6], 500)[: len(fused)].tolist()


def test_time_without_past_scans_is_refused():
    with pytest.raises(UserError, match="the time of past scans is wanted, but their number is 0"):
        PastScans(time=True)


def test_a_cleared_history_begins_anew():
    history = ScanHistory(PastScans(2))
    history.fuse(seen(pose_at(0)), pose_at(0))
    history.clear()
    assert len(history.fuse(seen(pose_at(50)), pose_at(50))[0]) == 500
    assert len(history.fuse(seen(pose_at(51)), pose_at(51))[0]) == 1000


def test_past_points_without_a_return_are_left_out_and_current_ones_stay():
    history = ScanHistory(PastScans(1))
    odd = np.array([[0, 0, 0, 0], [np.nan, 1, 1, 0.5], [1, 2, 3, np.nan], [4, 5, 6, 0.5]], np.float32)
    history.fuse(odd, pose_at(0))
    fused, is_current = history.fuse(odd, pose_at(1))
    assert fused[:4].tobytes() == odd.tobytes()
    assert is_current.tolist() == [True] * 4 + [False] * 2
    assert fused[4:, 3].tolist() == [0, 0.5]


@pytest.mark.parametrize(("num_scans", "stride"), [(-1, 1), (21, 1), (2, 0), (2, 101)])
def test_settings_out_of_range_are_refused(num_scans, stride):
    with pytest.raises(UserError, match="expected"):
        PastScans(num_scans, stride)


def test_a_simulated_drive_fuses_its_scene_to_a_tenth_of_a_millimetre(tmp_path):
    pytest.importorskip("embreex", reason="simulating needs embreex: pip install 'pvd_ros[sim]'")
    from pvd_core.clouds.poses import frame_poses
    from training.simulate import Drive
    from training.simulate.sequence import SequenceWriter, sequence_seed

    facts = {"seed": 3, "sensor": "vlp16", "scan_interval_s": 0.1, "height_m": None, "tilt_deg": 2.0}
    facts |= {"jitter": True, "is_rolling": False, "world": "mixed", "sequences": {"07": 8}}
    writer = SequenceWriter(tmp_path, facts)
    writer.prepare("07")
    poses = frame_poses(tmp_path / "sequences" / "07", [f"{i:06d}" for i in range(8)]).poses
    drive = Drive(sequence_seed(3, "07"), 8, "vlp16", 0.1, tilt_deg=2.0, jitter=True)
    history = ScanHistory(PastScans(5))
    for index in range(8):
        points = seen(drive.pose(index))  # by the truth; fused by the files
        fused, _ = history.fuse(points, poses[index])
    assert len(fused) == 6 * 500
    for part in np.split(fused, 6):
        np.testing.assert_allclose(part[:, :3], points[:, :3], atol=1e-4)
