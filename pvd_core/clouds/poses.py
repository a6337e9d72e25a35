"""Poses of the sensor from the `poses.txt` and `calib.txt` of a sequence, as KITTI writes them.

Line N of `poses.txt` is the pose of the left camera at frame N: a 3x4 matrix, row by row. `Tr` in `calib.txt` takes the
LiDAR's points to that camera, so the LiDAR's pose is inv(Tr) @ pose @ Tr. Matrices are (4, 4) float64, in metres.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pvd_core.borders.errors import UserError
from pvd_core.borders.wording import counted, shown

_NUM_VALUES = 12
# Rotations are written with 6 digits or more.
_ROTATION_TOLERANCE = 1e-3
_WHY_TR = "it takes poses of the camera, which poses.txt holds, to the LiDAR"
_IDENTITY_TR = "Tr: 1 0 0 0 0 1 0 0 0 0 1 0"
_IDENTITY = f"'{_IDENTITY_TR}'"


@dataclass(frozen=True)
class FramePoses:
    """The sensor's poses at the frames of a sequence."""

    poses: np.ndarray
    """float64 (N, 4, 4): frame of the sensor at each scan to a frame of the sequence that stands still."""
    remark: str
    """What of them is to be said to the user; "" if there is nothing."""


def has_poses(folder: str | Path) -> bool:
    """Whether the folder of a sequence holds a `poses.txt`."""
    return (Path(folder) / "poses.txt").exists()


def frame_poses(folder: str | Path, frames: Sequence[str]) -> FramePoses:
    """FramePoses of the scans with the names `frames`, such as 000123, in the `folder` of their sequence.

    UserError for files that are missing or malformed, and where there are fewer poses than the frames need.
    """
    poses_path = Path(folder) / "poses.txt"
    poses = sensor_poses(poses_path, Path(folder) / "calib.txt")
    numbers = _frame_numbers(frames, poses_path)
    if len(numbers) and max(numbers) >= len(poses):
        raise UserError(
            f"{poses_path} has {counted(len(poses), 'pose')} for {counted(len(frames), 'scan')}: scan "
            f"{frames[int(np.argmax(numbers))]} needs line {max(numbers) + 1}. It is cut short or of another sequence; "
            "copy that of this sequence again"
        )
    remark = ""
    if len(poses) != len(frames):
        remark = (
            f"{poses_path} has {counted(len(poses), 'pose')} for {counted(len(frames), 'scan')}: right where scans of "
            "the sequence were left out, since line N + 1 is taken for scan N; else it is of another sequence"
        )
    return FramePoses(poses[numbers], remark)


def sensor_poses(poses_path: str | Path, calibration_path: str | Path) -> np.ndarray:
    """float64 (N, 4, 4): the LiDAR's pose at each line of `poses_path`, with `Tr` of `calibration_path`. UserError for
    files that are missing or malformed, with the line."""
    camera_poses = lidar_poses(poses_path)
    camera_from_lidar = read_lidar_to_camera(calibration_path)
    return np.linalg.inv(camera_from_lidar) @ camera_poses @ camera_from_lidar


def lidar_poses(path: str | Path) -> np.ndarray:
    """float64 (N, 4, 4): the matrix of each line of a file of poses, as it stands there: the LiDAR's where no camera
    has part in it. UserError for a file that is missing or malformed, with the line."""
    path = Path(path)
    lines = _lines(path, "poses")
    if not lines:
        raise UserError(f"{path} is empty: expected a line of {_NUM_VALUES} numbers for each scan")
    return _matrices([(text, f"{path} line {number}") for number, text in lines])


def write_lidar_poses(folder: str | Path, poses: np.ndarray) -> None:
    """Writes the LiDAR's poses, float64 (N, 4, 4), into the folder of a sequence: poses.txt, and calib.txt, in which Tr
    changes nothing, for there is no camera. OSError where that fails."""
    lines = (" ".join(f"{value:.9g}" for value in pose[:3].ravel()) for pose in poses)
    Path(folder, "poses.txt").write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
    Path(folder, "calib.txt").write_text(f"{_IDENTITY_TR}\n", encoding="ascii")


def read_lidar_to_camera(path: str | Path) -> np.ndarray:
    """float64 (4, 4): `Tr` of a `calib.txt`. UserError where it is missing, malformed or there twice."""
    path = Path(path)
    found = None
    for number, text in _lines(path, f"calibration, whose 'Tr' is needed: {_WHY_TR},"):
        name, colon, values = text.partition(":")
        if not colon:
            raise UserError(f"{path} line {number} is {shown(text)}: expected a name, a colon and numbers")
        if name.strip() not in ("Tr", "Tr_velo_to_cam"):
            continue
        if found is not None:
            raise UserError(f"{path} line {number} gives Tr a second time; keep one")
        (found,) = _matrices([(values, f"{path} line {number}, Tr,")])
    if found is None:
        raise UserError(
            f"{path} has no line 'Tr: ...': {_WHY_TR}. Take calib.txt from the 'odometry' download of KITTI; where "
            f"poses are those of the LiDAR already, add the line {_IDENTITY}"
        )
    return found


def _lines(path: Path, content: str) -> list[tuple[int, str]]:
    """(number from 1 on, text) of each line; empty ones at the end are left out, others are a UserError."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        hint = f"; where poses are those of the LiDAR already, write {_IDENTITY} into it" if "Tr" in content else ""
        raise UserError(f"{path} is missing: expected the {content} of this sequence{hint}") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no text file; expected the {content} of this sequence") from error
    lines = [line.strip() for line in text.rstrip().splitlines()]
    for number, line in enumerate(lines, start=1):
        if not line:
            raise UserError(f"{path} line {number} is empty, but others follow: expected one line a matrix; remove it")
    return list(enumerate(lines, start=1))


def _matrices(lines: Sequence[tuple[str, str]]) -> np.ndarray:
    """float64 (N, 4, 4) of lines of 12 numbers, each with the name of its place."""
    matrices = np.tile(np.eye(4), (len(lines), 1, 1))
    matrices[:, :3] = np.reshape([_values(text, where) for text, where in lines], (-1, 3, 4))
    rotations = matrices[:, :3, :3]
    is_finite = np.asarray(np.isfinite(matrices).all(axis=(1, 2)))
    with np.errstate(invalid="ignore", over="ignore"):
        errors = np.abs(rotations @ rotations.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2))
        is_pose = is_finite & (errors < _ROTATION_TOLERANCE) & (np.linalg.det(rotations) > 0)
    if is_pose.all():
        return matrices
    first = int(np.argmin(is_pose))
    where = lines[first][1]
    if not is_finite[first]:
        raise UserError(f"{where} has values that are not finite: expected 12 finite numbers; copy the file again")
    raise UserError(
        f"{where} is no pose: its first three columns are no rotation; expected a 3x4 matrix [R t] row by row"
    )


def _values(text: str, where: str) -> list[float]:
    words = text.split()
    if len(words) != _NUM_VALUES:
        raise UserError(f"{where} has {counted(len(words), 'value')}: expected {_NUM_VALUES}, a 3x4 matrix row by row")
    try:
        return [float(word) for word in words]
    except ValueError as error:  # which names the word
        raise UserError(f"{where} is no matrix: {error}; expected {_NUM_VALUES} numbers, row by row") from error


def _frame_numbers(frames: Sequence[str], poses_path: Path) -> list[int]:
    for frame in frames:
        if not (frame.isascii() and frame.isdigit()):
            raise UserError(
                f"scan {shown(frame)} has no number for its name: expected names such as 000012, since line N + 1 of "
                f"{poses_path} belongs to scan N"
            )
    return [int(frame) for frame in frames]
