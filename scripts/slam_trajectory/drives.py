"""One simulated drive, registered by KISS-ICP once for each way to choose its points."""

from dataclasses import asdict, dataclass

import numpy as np

from pvd_core.segmenter import Segmenter
from pvd_ros.poses.registration import Registration
from scripts.slam_trajectory.errors import errors_of
from scripts.slam_trajectory.static_points import WAYS, StaticPoints, is_moving
from training.simulate import Drive


@dataclass(frozen=True)
class RegisteredDrive:
    """Poses are float64 (N, 4, 4), relative to the first cloud."""

    world: str
    seed: int
    stamps_s: np.ndarray
    true: np.ndarray
    estimated: dict[str, np.ndarray]
    """By way of WAYS."""
    removed: dict[str, float]
    """By way: the share of all points that it leaves out."""
    moving: float
    """Share of the points that are of something that moves."""
    moving_left: dict[str, float]
    """By way: the share of those that it leaves in."""

    def rows(self) -> list[dict[str, float | int | str | None]]:
        """Figures of each way."""
        return [
            {
                "world": self.world,
                "seed": self.seed,
                "points": way,
                "moving_percent": 100 * self.moving,
                "removed_percent": 100 * self.removed[way],
                "moving_left_percent": 100 * self.moving_left[way],
                **asdict(errors_of(self.estimated[way], self.true)),
            }
            for way in WAYS
        ]


def registered_drive(world: str, seed: int, num_scans: int, interval_s: float, segmenter: Segmenter) -> RegisteredDrive:
    """Simulates a drive on the street of a seed and finds its motion by the points of each way. One thread, so that the
    same drive gives the same figures. UserError without KISS-ICP and for unknown worlds."""
    drive, static = Drive(seed, num_scans, scan_interval_s=interval_s, world=world), StaticPoints(segmenter)
    # The vehicle drives already when the first cloud comes, as it does not where odometry is started. Without this
    # KISS-ICP takes a sensor that moves 5 m a cloud for standing, whatever points it gets.
    odometry = {way: Registration(num_threads=1, first_motion=drive.pose(1)) for way in WAYS}
    estimated: dict[str, list[np.ndarray]] = {way: [] for way in WAYS}
    kept, moving_kept = dict.fromkeys(WAYS, 0), dict.fromkeys(WAYS, 0)
    stamps_s, true, num_points, num_moving = [], [], 0, 0
    for frame in drive.frames():
        moves = is_moving(frame.labels)
        for way, chosen in static.chosen(frame).items():
            estimated[way].append(odometry[way].pose_of(frame.points[chosen, :3]))
            kept[way] += int(chosen.sum())
            moving_kept[way] += int((chosen & moves).sum())
        num_points, num_moving = num_points + len(moves), num_moving + int(moves.sum())
        stamps_s.append(frame.stamp_s)
        true.append(frame.pose)
    return RegisteredDrive(
        world,
        seed,
        np.array(stamps_s),
        np.array(true),
        {way: np.array(poses) for way, poses in estimated.items()},
        {way: 1 - kept[way] / num_points for way in WAYS},
        num_moving / num_points,
        {way: moving_kept[way] / max(1, num_moving) for way in WAYS},
    )
