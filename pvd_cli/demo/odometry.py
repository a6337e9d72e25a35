"""The bag of a simulated drive with odometry beside the clouds, as a vehicle's would have it."""

from pathlib import Path

import numpy as np

from pvd_cli.bags import sequence_frames
from pvd_core.clouds import read_cloud
from pvd_core.clouds.poses import frame_poses
from pvd_ros.bags import BagWriter
from pvd_ros.bags.odometry import write_odometry
from pvd_ros.bags.types import cloud_from_points
from pvd_ros.poses.rigid import matrix_of

ODOMETRY = "/odom"
NOISE = "1 cm and 0.02 degrees"
_NOISE_M, _NOISE_DEG = 0.01, 0.02
_FRAME = "velodyne"
# Odometry is computed from the cloud, and comes after it.
_LATE_NS = 20_000_000


def write_bag_with_odometry(sequence: Path, bag: Path, topic: str) -> int:
    """Writes the scans of a sequence's folder onto `topic` of a new bag, and their true poses with a little NOISE onto
    ODOMETRY; returns the number of scans."""
    frames = sequence_frames(sequence)
    poses = frame_poses(sequence, [scan.stem for scan, _, _ in frames]).poses
    generator = np.random.default_rng(0)
    with BagWriter(bag) as writer:
        for (scan, _, stamp_ns), pose in zip(frames, poses, strict=True):
            writer.write_cloud(topic, cloud_from_points(read_cloud(scan), stamp_ns, _FRAME), stamp_ns)
            noisy = pose @ _noise(generator)
            write_odometry(writer, ODOMETRY, noisy, stamp_ns, "odom", _FRAME, stamp_ns + _LATE_NS)
    return len(frames)


def _noise(generator: np.random.Generator) -> np.ndarray:
    half_turn = np.deg2rad(generator.normal(0, _NOISE_DEG, 3)) / 2
    quaternion = np.array((*half_turn, 1.0))
    return matrix_of(generator.normal(0, _NOISE_M, 3), quaternion / np.linalg.norm(quaternion))
