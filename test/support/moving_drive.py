"""A tiny drive in SemanticKITTI's layout, with its poses: a street that stands still and a car that moves."""

import numpy as np
from tiny_dataset import write_scan

ROAD, BUILDING, MOVING_CAR = 40, 50, 252
POINTS_A_SCAN = 1800
TR = np.array([[0, -1, 0, 0], [0, 0, -1, -0.08], [1, 0, 0, -0.27], [0, 0, 0, 1]])


def pose_at(frame):
    """float64 (4, 4): a metre a scan, in a bend."""
    yaw = 0.02 * frame
    pose = np.eye(4)
    pose[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    pose[:3, 3] = frame, 0.05 * frame, 0.01 * frame
    return pose


def drive_scan(frame):
    """(points float32 (1800, 4), raw labels uint32): the same points of the street in every scan, as the sensor sees
    them; the car is object 7 and drives three metres a scan."""
    generator = np.random.default_rng(5)
    ground = generator.uniform((-30, -30, -1.8), (30, 30, -1.6), (900, 3))
    wall = generator.uniform((-30, 12, -1.6), (30, 12.5, 1.8), (600, 3))
    car = generator.uniform((4, -6, -1.5), (8, -4, 0), (300, 3)) + np.array((3.0 * frame, 0, 0))
    pose = pose_at(frame)
    xyz = (np.concatenate((ground, wall, car)) - pose[:3, 3]) @ pose[:3, :3]
    intensity = np.repeat((0.2, 0.5, 0.9), (900, 600, 300))
    raw = np.repeat((ROAD, BUILDING, MOVING_CAR | 7 << 16), (900, 600, 300)).astype(np.uint32)
    return np.column_stack((xyz, intensity)).astype(np.float32), raw


def write_drive(root, sequences, has_labels=True):
    """Writes `sequences`, {name: number of scans}, under `root` and returns it."""
    for sequence, num_scans in sequences.items():
        for frame in range(num_scans):
            points, raw = drive_scan(frame)
            write_scan(root, sequence, f"{frame:06d}", points, raw if has_labels else None)
        folder = root / "sequences" / sequence
        rows = (TR @ pose_at(frame) @ np.linalg.inv(TR) for frame in range(num_scans))
        (folder / "poses.txt").write_text("".join(_row(matrix) + "\n" for matrix in rows))
        (folder / "calib.txt").write_text(f"Tr: {_row(TR)}\n")
    return root


def _row(matrix):
    return " ".join(f"{value:.9e}" for value in matrix[:3].ravel())
