"""The sensor's motion by its clouds alone: KISS-ICP, which takes each cloud to the map of those before it."""

from __future__ import annotations

import numpy as np

from pvd_core.borders.errors import UserError


class Registration:
    """The motion during one drive, with KISS-ICP's own settings but without correction for the motion within a cloud:
    that needs the times of points.

    num_threads: 0 for as many as there are cores; with 1 the same clouds give the same bits. first_motion: float64
    (4, 4), by how much the sensor moves from cloud to cloud when the first one comes; None where it stands. UserError
    where KISS-ICP is not installed.
    """

    def __init__(self, num_threads: int = 0, first_motion: np.ndarray | None = None) -> None:
        try:
            from kiss_icp.config import load_config
            from kiss_icp.kiss_icp import KissICP
        except ImportError as error:
            raise UserError(f"KISS-ICP is not installed ({error}): pip install 'pvd_ros[slam]'") from None
        config = load_config(None)
        config.data.deskew = False
        config.registration.max_num_threads = num_threads
        self._odometry = KissICP(config)
        if first_motion is not None:
            self._odometry.last_delta = np.array(first_motion)
            self._odometry.last_pose = np.linalg.inv(first_motion)  # where it was a cloud earlier

    def pose_of(self, xyz: np.ndarray) -> np.ndarray:
        """float64 (4, 4): the sensor's frame at the next cloud to that at the first one. xyz: (N, 3) in metres, N > 0,
        all finite."""
        self._odometry.register_frame(np.ascontiguousarray(xyz, np.float64), np.zeros(0))
        return np.array(self._odometry.last_pose)
