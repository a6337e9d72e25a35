"""Readers of SemanticKITTI's files. N points, F frames."""

from pathlib import Path

import numpy as np

from pvd_core.borders.errors import UserError
from pvd_core.taxonomy import UnknownLabelError, class_ids_from_raw

_BYTES_PER_POINT = 16
_BYTES_PER_LABEL = 4


def read_points(path):
    """float32 (N, 4) of a `.bin` file: x, y, z in metres in the LiDAR frame, intensity in 0..1."""
    return np.frombuffer(_read(path, "scan", _BYTES_PER_POINT), dtype="<f4").reshape(-1, 4).astype(np.float32)


def read_raw_labels(path, num_points):
    """uint32 (N,) of a `.label` file: raw id in the low 16 bits, instance id above. `num_points`: of its scan."""
    raw = np.frombuffer(_read(path, "label file", _BYTES_PER_LABEL), dtype="<u4").astype(np.uint32)
    if len(raw) != num_points:
        raise UserError(
            f"{path} holds {len(raw)} labels, its scan {num_points} points: expected one label a point; "
            "the two files do not belong together or one is incomplete, copy both again"
        )
    return raw


def read_class_ids(path, num_points):
    """uint8 (N,) class ids 0..19 of a `.label` file. An id that SemanticKITTI does not define is an error."""
    try:
        return class_ids_from_raw(read_raw_labels(path, num_points))
    except UnknownLabelError as error:
        raise UserError(f"{path}: {error}; these labels follow another taxonomy, map them first") from error


def read_calibration(path):
    """{name: float64 (3, 4)} of a `calib.txt`: "P0".."P3" projections, "Tr" from LiDAR to camera frame."""
    matrices = {}
    for number, line in enumerate(_read_lines(path), start=1):
        name, colon, values = line.partition(":")
        if not colon:
            raise UserError(f"{path}, line {number}: found {line[:40]!r}, expected 'NAME: ' and 12 numbers")
        matrices[name.strip()] = _numbers(values, 12, path, number).reshape(3, 4)
    return matrices


def read_poses(path, calibration=None):
    """float64 (F, 4, 4) poses, frame to start of the sequence, of a `poses.txt`.

    As the file has them (camera frame), or, with the `calibration` of `read_calibration`, of the LiDAR.
    """
    lines = _read_lines(path)
    poses = np.zeros((len(lines), 4, 4))
    poses[:, 3, 3] = 1
    for number, line in enumerate(lines, start=1):
        poses[number - 1, :3] = _numbers(line, 12, path, number).reshape(3, 4)
    if calibration is None:
        return poses
    if "Tr" not in calibration:
        found = ", ".join(calibration) or "nothing"
        raise UserError(f"the calibration for {path} has {found} but no 'Tr': expected the LiDAR-to-camera matrix")
    lidar_to_camera = np.vstack((calibration["Tr"], (0, 0, 0, 1)))
    return np.linalg.inv(lidar_to_camera) @ poses @ lidar_to_camera


def read_times(path):
    """float64 (F,) seconds since the start of the sequence, of a `times.txt`."""
    lines = _read_lines(path)
    return np.array([_numbers(line, 1, path, number)[0] for number, line in enumerate(lines, start=1)])


def _read(path, kind, item_size):
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{kind} {path} cannot be read: {error.strerror}") from error
    if len(content) % item_size:
        raise UserError(
            f"{kind} {path} is truncated: found {len(content)} bytes, expected a multiple of {item_size}; copy it again"
        )
    return content


def _read_lines(path):
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    return [line for line in text.splitlines() if line.strip()]


def _numbers(text, count, path, line_number):
    try:
        values = np.array([float(word) for word in text.split()])
    except ValueError as error:
        raise UserError(f"{path}, line {line_number}: {error}; expected {count} numbers") from error
    if len(values) != count:
        raise UserError(f"{path}, line {line_number}: found {len(values)} numbers, expected {count}")
    return values
