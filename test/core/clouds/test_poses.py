"""Poses of the sensor from poses.txt and calib.txt: what is read, and what is refused with its line."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from pvd_core.borders.errors import UserError
from pvd_core.clouds.files import read_cloud
from pvd_core.clouds.history import moved
from pvd_core.clouds.poses import frame_poses

# x right, y down, z forward; a little ahead of the LiDAR and below it.
TR = np.array([[0, -1, 0, 0], [0, 0, -1, -0.08], [1, 0, 0, -0.27], [0, 0, 0, 1]])
FRAMES = ("000000", "000001", "000002")


def pose_of(x, yaw):
    pose = np.eye(4)
    pose[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    pose[0, 3] = x
    return pose


LIDAR_POSES = np.stack([pose_of(1.5 * i, 0.1 * i) for i in range(3)])


def row(matrix):
    return " ".join(f"{value:.12e}" for value in matrix[:3].ravel())


POSE_LINES = [row(TR @ pose @ np.linalg.inv(TR)) for pose in LIDAR_POSES]
POSES = "\n".join(POSE_LINES) + "\n"
CALIBRATION = f"P0: {row(np.eye(4))}\nTr: {row(TR)}\n"


@pytest.fixture
def write(tmp_path):
    def written(poses=POSES, calibration=CALIBRATION):
        for name, text in (("poses.txt", poses), ("calib.txt", calibration)):
            if text is not None:
                content = text if isinstance(text, bytes) else text.encode()
                (tmp_path / name).write_bytes(content)
        return tmp_path

    return written


def test_poses_are_those_of_the_lidar(write):
    read = frame_poses(write(), FRAMES)
    assert read.poses.dtype == np.float64
    np.testing.assert_allclose(read.poses, LIDAR_POSES, atol=1e-9)
    assert read.remark == ""


@pytest.mark.parametrize(
    "poses",
    [
        "\r\n".join(POSE_LINES) + "\r\n",
        "".join(f"{line}  \t\n" for line in POSE_LINES),
        "\n".join(POSE_LINES),
        "\n".join(POSE_LINES) + "\n\n  \n",
        b"\xef\xbb\xbf" + "\n".join(POSE_LINES).encode(),
    ],
    ids=["windows line ends", "trailing blanks", "no last line end", "blank last lines", "byte order mark"],
)
def test_line_ends_and_blanks_do_not_matter(write, poses):
    np.testing.assert_allclose(frame_poses(write(poses), FRAMES).poses, LIDAR_POSES, atol=1e-9)
    folder = write(calibration=CALIBRATION.replace("\n", " \r\n") + "\r\n")
    np.testing.assert_allclose(frame_poses(folder, FRAMES).poses, LIDAR_POSES, atol=1e-9)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (POSE_LINES[1].rsplit(" ", 1)[0], r"poses\.txt line 2 has 11 values: expected 12"),
        (POSE_LINES[1] + " 0 0 0 1", r"poses\.txt line 2 has 16 values: expected 12"),
        (POSE_LINES[1].replace(" ", ","), r"poses\.txt line 2 has 1 value: expected 12"),
        ("x" + POSE_LINES[1], r"poses\.txt line 2 is no matrix: .*'x.*'; expected 12 numbers"),
        (POSE_LINES[1].rsplit(" ", 1)[0] + " nan", r"poses\.txt line 2 has values that are not finite"),
        (" ".join(["2"] * 12), r"poses\.txt line 2 is no pose: its first three columns are no rotation"),
        ("", r"poses\.txt line 2 is empty, but others follow"),
    ],
)
def test_a_malformed_line_of_poses_is_named(write, line, message):
    with pytest.raises(UserError, match=message):
        frame_poses(write("\n".join((POSE_LINES[0], line, POSE_LINES[2]))), FRAMES)


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        (None, r"calib\.txt is missing: .*takes poses of the camera.* to the LiDAR.* write 'Tr: 1 0 0"),
        ("", r"calib\.txt has no line 'Tr: \.\.\.': it takes poses of the camera"),
        (CALIBRATION.splitlines()[0], r"calib\.txt has no line 'Tr: \.\.\.': it takes poses of the camera"),
        (CALIBRATION + CALIBRATION, r"calib\.txt line 4 gives Tr a second time"),
        (CALIBRATION.rstrip()[:-20], r"calib\.txt line 2, Tr, has 11 values: expected 12"),
        ("718.0 0 607.0\n" + CALIBRATION, r"calib\.txt line 1 is '718\.0 0 607\.0': expected a name, a colon"),
        (b"\xff\xfe\x00", r"calib\.txt is no text file"),
    ],
)
def test_a_calibration_without_a_usable_tr_is_refused(write, calibration, message):
    with pytest.raises(UserError, match=message):
        frame_poses(write(calibration=calibration), FRAMES)


def test_missing_and_empty_poses_are_refused(write):
    with pytest.raises(UserError, match=r"poses\.txt is missing: expected the poses of this sequence"):
        frame_poses(write(poses=None), FRAMES)
    with pytest.raises(UserError, match=r"poses\.txt is empty: expected a line of 12 numbers for each scan"):
        frame_poses(write(poses=" \n"), FRAMES)


def test_a_number_of_poses_that_is_not_that_of_the_scans_is_told(write):
    folder = write()
    with pytest.raises(UserError, match=r"has 3 poses for 4 scans: scan 000003 needs line 4\. It is cut short or"):
        frame_poses(folder, (*FRAMES, "000003"))
    of_two = frame_poses(folder, ("000000", "000002"))
    assert "has 3 poses for 2 scans: right where scans of the sequence were left out" in of_two.remark
    np.testing.assert_allclose(of_two.poses, LIDAR_POSES[[0, 2]], atol=1e-9)


def test_scans_whose_names_are_no_numbers_have_no_poses(write):
    with pytest.raises(UserError, match="scan 'first' has no number for its name"):
        frame_poses(write(), ("first",))


@pytest.mark.parametrize("sequence", ["00", "04", "08"])
def test_real_scans_four_frames_apart_overlap_within_eleven_centimetres(shared_data, sequence):
    folder = shared_data / "semantickitti" / "sequences" / sequence
    first, later = (read_cloud(folder / "velodyne" / f"{frame:06d}.bin")[:, :3] for frame in (0, 4))
    poses = frame_poses(folder, ("000000", "000004")).poses

    def gap_m(some):
        """Median distance of some near points above the ground, which is the same all along a road, to their nearest
        neighbours in the first scan."""
        near = some[(np.linalg.norm(some, axis=1) < 40) & (some[:, 2] > -1)]
        return np.median(cKDTree(first).query(near[::10])[0])

    assert gap_m(moved(later, poses[1], poses[0])) < 0.11
    assert gap_m(moved(later, poses[1], poses[0])) < gap_m(later) / 3
