"""Writes the files of one simulated sequence in SemanticKITTI's layout: velodyne, labels, poses, calib, times."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from training.simulate.drive import Drive
from training.simulate.folder import make_folder, write_bytes
from training.simulate.parallel import Chunk

# Camera: x right, y down, z forward; it is mounted below and ahead of the LiDAR.
_CAMERA_FROM_LIDAR = np.array([[0, -1, 0, 0], [0, 0, -1, -0.08], [1, 0, 0, -0.27], [0, 0, 0, 1]], dtype=np.float64)
_PROJECTION = np.array([[718.0, 0, 607.0, 0], [0, 718.0, 185.0, 0], [0, 0, 1, 0]])
_CAMERA_OFFSETS_M = (0.0, 0.54, -0.06, 0.48)


class SequenceWriter:
    """Writes any scans of any sequence of one data set. It can be pickled, so that other processes can call it."""

    def __init__(self, out_dir: Path, facts: dict[str, Any]) -> None:
        self.out_dir, self.facts = out_dir, facts

    def prepare(self, name: str) -> list[int]:
        """Writes all files of sequence `name` except its scans; returns the indices of the scans that are missing."""
        folder = self.out_dir / "sequences" / name
        for part in ("velodyne", "labels"):
            make_folder(folder / part)
        count = self.facts["sequences"][name]
        drive = self._drive(name)
        write_bytes(folder / "calib.txt", _calibration_text().encode())
        write_bytes(folder / "times.txt", "".join(f"{drive.stamp_s(i):.6e}\n" for i in range(count)).encode())
        write_bytes(folder / "poses.txt", "".join(_pose_line(drive.pose(i)) for i in range(count)).encode())
        return [i for i in range(count) if not all(path.exists() for path in _scan_paths(folder, i))]

    def __call__(self, chunk: Chunk) -> Iterator[Path]:
        """Writes the scans of a chunk; yields the path of each."""
        folder = self.out_dir / "sequences" / chunk.sequence
        frames = self._drive(chunk.sequence).frames(chunk.first)
        for index, frame in enumerate(islice(frames, chunk.stop - chunk.first), start=chunk.first):
            scan_path, label_path = _scan_paths(folder, index)
            write_bytes(scan_path, frame.points.astype("<f4", copy=False).tobytes())
            write_bytes(label_path, frame.labels.astype("<u4", copy=False).tobytes())
            yield scan_path

    def _drive(self, name: str) -> Drive:
        facts = self.facts
        return Drive(
            sequence_seed(facts["seed"], name),
            facts["sequences"][name],
            facts["sensor"],
            facts["scan_interval_s"],
            height_m=facts["height_m"],
            tilt_deg=facts["tilt_deg"],
            jitter=facts["jitter"],
            is_rolling=facts["is_rolling"],
            world=facts["world"],
        )


def sequence_seed(seed: int, name: str) -> int:
    """The seed of one sequence's street: different for every sequence of a data set. name: two digits."""
    return int(seed) * 100 + int(name)


def _scan_paths(folder: Path, index: int) -> tuple[Path, Path]:
    return folder / "velodyne" / f"{index:06d}.bin", folder / "labels" / f"{index:06d}.label"


def _pose_line(lidar_pose: np.ndarray) -> str:
    camera_pose = _CAMERA_FROM_LIDAR @ lidar_pose @ np.linalg.inv(_CAMERA_FROM_LIDAR)
    return " ".join(f"{value:.9e}" for value in camera_pose[:3].ravel()) + "\n"


def _calibration_text() -> str:
    lines = []
    for index, offset in enumerate(_CAMERA_OFFSETS_M):
        projection = _PROJECTION.copy()
        projection[0, 3] = -offset * projection[0, 0]
        lines.append((f"P{index}", projection))
    lines.append(("Tr", _CAMERA_FROM_LIDAR[:3]))
    return "".join(f"{name}: " + " ".join(f"{v:.12e}" for v in matrix.ravel()) + "\n" for name, matrix in lines)
