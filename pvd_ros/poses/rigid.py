"""Rigid transforms of messages: checked, as matrices, and between two of them.

Matrices are (4, 4) float64, positions (3,) in metres, quaternions (4,) as x, y, z, w of length 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pvd_ros.poses.source import BadPoseError, PoseLimits

# As tf2 has it.
_LENGTH_TOLERANCE = 0.01
# Noise of poses that come fast must not look like speed.
_SLACK_M, _SLACK_DEG = 0.2, 2.0


def checked(position: Any, rotation: Any) -> tuple[np.ndarray, np.ndarray]:
    """(position, quaternion) of a geometry_msgs Point or Vector3 and Quaternion; BadPoseError where they are none."""
    at = np.array((position.x, position.y, position.z), np.float64)
    quaternion = np.array((rotation.x, rotation.y, rotation.z, rotation.w), np.float64)
    if not (np.isfinite(at).all() and np.isfinite(quaternion).all()):
        raise BadPoseError("its values are not finite")
    length = float(np.linalg.norm(quaternion))
    if abs(length - 1) > _LENGTH_TOLERANCE:
        raise BadPoseError(f"its quaternion has length {length:.3g}, expected 1")
    return at, quaternion / length


def matrix_of(position: np.ndarray, quaternion: np.ndarray) -> np.ndarray:
    """The matrix of a position and a quaternion."""
    x, y, z, w = quaternion
    matrix = np.eye(4)
    matrix[:3, :3] = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    )
    matrix[:3, 3] = position
    return matrix


def quaternion_of(rotation: np.ndarray) -> np.ndarray:
    """The quaternion of a rotation matrix, (3, 3); of one that is not quite a rotation, the closest."""
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = rotation
    # Bar-Itzhack: the eigenvector of the largest eigenvalue.
    symmetric = np.array(
        (
            (xx - yy - zz, 0, 0, 0),
            (yx + xy, yy - xx - zz, 0, 0),
            (zx + xz, zy + yz, zz - xx - yy, 0),
            (zy - yz, xz - zx, yx - xy, xx + yy + zz),
        )
    )
    return np.linalg.eigh(symmetric)[1][:, 3]


def between(first: np.ndarray, second: np.ndarray, share: float) -> np.ndarray:
    """The quaternion at `share`, 0..1, of the shortest turn from one to the other, at constant speed (slerp)."""
    cosine = float(first @ second)
    if cosine < 0:  # q and -q are one rotation
        second, cosine = -second, -cosine
    if cosine > 0.9999999:  # the formula below would divide by almost 0
        mixed = first + share * (second - first)
    else:
        angle = np.arccos(cosine)
        mixed = np.sin((1 - share) * angle) * first + np.sin(share * angle) * second
    return mixed / np.linalg.norm(mixed)


def is_too_fast(distance_m: float, turn_deg: float, seconds: float, limits: PoseLimits) -> bool:
    """Whether no sensor within `limits` moves and turns so far in that time."""
    return distance_m > limits.max_speed * seconds + _SLACK_M or turn_deg > limits.max_turn_rate * seconds + _SLACK_DEG


def turn_between(first: np.ndarray, second: np.ndarray) -> float:
    """Degrees of the turn from one quaternion to the other."""
    return float(np.rad2deg(2 * np.arccos(min(1.0, abs(float(first @ second))))))


def turn_of(rotation: np.ndarray) -> float:
    """Degrees of the turn that a rotation matrix, (3, 3), makes."""
    return float(np.rad2deg(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1))))
