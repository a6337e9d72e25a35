"""The choices for past clouds behind each one of a bag, and where their poses come from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from pvd_core.borders.errors import UserError
from pvd_ros.bags.topic_names import check_bag_topic
from pvd_ros.poses import PoseLimits


@dataclass(frozen=True)
class PoseOptions:
    """Poses come from one of: `odometry`, a topic; `fixed_frame`, a frame of /tf that stands still; `file`, a poses.txt
    of KITTI with a line for each cloud and calib.txt beside it. None of them: each cloud is labelled alone. UserError
    for several, and for choices that do not fit.

    history, history_stride: past clouds behind each, every n-th of those before; None is what the weights want.
    """

    odometry: str = ""
    fixed_frame: str = ""
    file: str = ""
    history: int | None = None
    history_stride: int | None = None
    limits: PoseLimits = field(default_factory=PoseLimits)

    def __post_init__(self) -> None:
        given = [
            option
            for option, value in (
                ("--odometry", self.odometry),
                ("--fixed-frame", self.fixed_frame),
                ("--poses", self.file),
            )
            if value
        ]
        if len(given) > 1:
            raise UserError(f"{' and '.join(given)} each name a source of poses; choose one of them")
        if self.odometry:
            check_bag_topic("--odometry", self.odometry)
        if self.history and not self.has_source:
            raise UserError(
                f"--history {self.history} needs poses: give one of --odometry TOPIC, --fixed-frame NAME, --poses FILE"
            )

    @property
    def has_source(self) -> bool:
        """Whether poses come from anywhere."""
        return bool(self.odometry or self.fixed_frame or self.file)

    @property
    def digest(self) -> str:
        """Of the content of `file`; "" without one, or where it cannot be read, which its reader says."""
        path = Path(self.file)
        return hashlib.sha256(path.read_bytes()).hexdigest() if self.file and path.is_file() else ""
