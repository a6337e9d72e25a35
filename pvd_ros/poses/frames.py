"""Frames and the transforms between them, from /tf and /tf_static (tf2_msgs/TFMessage)."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from pvd_ros.codec import stamp_of
from pvd_ros.poses.rigid import checked, matrix_of
from pvd_ros.poses.source import FRAME, NEVER, BadPoseError, NoPoseError, PoseLimits, say_once
from pvd_ros.poses.track import RESTARTED, PoseTrack, restart_of

# Only bounds what a broken publisher can do to the memory.
_MOST_FRAMES = 1000


class FrameTree:
    """Each frame's transform to its parent: fixed, or one that changes with time. A source of the poses of a cloud's
    frame in `fixed_frame`; "" where only fixed transforms are asked for. It takes messages of rclpy and of rosbags."""

    def __init__(self, fixed_frame: str, limits: PoseLimits) -> None:
        self.fixed_frame, self._limits = plain(fixed_frame), limits
        self.counters: Counter[str] = Counter(poses_refused=0, poses_out_of_order=0)
        self.remarks: list[str] = []
        self._parent_of: dict[str, str] = {}
        self._fixed: dict[str, np.ndarray] = {}
        self._tracks: dict[str, PoseTrack] = {}

    def add(self, message: Any, is_static: bool = False) -> None:
        """Takes the transforms of a TFMessage. Those that are none are left out, counted, and said once."""
        for transform in message.transforms:
            self._add_or_refuse(transform, is_static)

    def pose(self, stamp_ns: int, frame: str) -> np.ndarray:
        """As PoseSource has it."""
        frame = plain(frame)
        if frame == self.fixed_frame:
            raise NoPoseError(FRAME, f"the clouds' own frame is {frame}: name one that stands still, such as odom")
        up, fixed_up, common = self._ways_up(frame, self.fixed_frame)
        if common is None:
            raise NoPoseError(
                NEVER,
                f"no transforms lead from {self.fixed_frame} to {frame}; known are {self._known(up)} and "
                f"{self._known(fixed_up)}",
            )
        pose = self._to_ancestor(up, common, stamp_ns)
        if common != self.fixed_frame:
            pose = np.linalg.inv(self._to_ancestor(fixed_up, common, stamp_ns)) @ pose
        return pose

    def jumped_between(self, start_ns: int, end_ns: int, frame: str) -> bool:
        """As PoseSource has it."""
        on_the_way = {*self._way_up(plain(frame))} ^ {*self._way_up(self.fixed_frame)}
        tracks = [self._tracks[name] for name in on_the_way if name in self._tracks]
        return any(track.jumped_between(start_ns, end_ns) for track in tracks)

    def fixed_transform(self, parent: str, child: str) -> np.ndarray | None:
        """float64 (4, 4): points of the frame `child` in the frame `parent`, by fixed transforms alone; None where none
        lead from one to the other."""
        up, parent_up, common = self._ways_up(plain(child), plain(parent))
        if common is None:
            return None
        ways = [way[: way.index(common)] for way in (up, parent_up)]
        if any(name not in self._fixed for way in ways for name in way):
            return None
        child_pose, parent_pose = (self._to_ancestor(way, common, 0) for way in (up, parent_up))
        return np.linalg.inv(parent_pose) @ child_pose

    def _add_or_refuse(self, transform: Any, is_static: bool) -> None:
        try:
            self._add(transform, is_static)
        except BadPoseError as error:
            self.counters["poses_refused"] += 1
            child, parent = plain(transform.child_frame_id), plain(transform.header.frame_id)
            say_once(self.remarks, f"transforms from {parent!r} to {child!r} are refused: {error}")

    def _add(self, transform: Any, is_static: bool) -> None:
        child, parent = plain(transform.child_frame_id), plain(transform.header.frame_id)
        if not child or not parent or child == parent:
            raise BadPoseError("expected two different frames")
        sample = checked(transform.transform.translation, transform.transform.rotation)
        if child not in self._parent_of and len(self._parent_of) >= _MOST_FRAMES:
            raise BadPoseError(f"there are {_MOST_FRAMES} frames already")
        if parent != self._parent_of.get(child, parent):
            say_once(self.remarks, f"frame {child!r} was below {self._parent_of[child]!r} and is now below {parent!r}")
            self._tracks.pop(child, None)
        self._parent_of[child] = parent
        if is_static:
            self._tracks.pop(child, None)
            self._fixed[child] = matrix_of(*sample)
            return
        self._fixed.pop(child, None)
        track = self._tracks.setdefault(child, PoseTrack(f"transforms from {parent} to {child}", self._limits))
        # The same transform comes again whenever another joint of a robot moves.
        if (found := track.add(stamp_of(transform), sample)) not in ("", "repeated"):
            self.counters["poses_out_of_order"] += 1
        if found == RESTARTED:
            say_once(self.remarks, restart_of(track))

    def _ways_up(self, frame: str, other: str) -> tuple[list[str], list[str], str | None]:
        """The ways up from both frames, and the first frame where they meet; None where they do not."""
        up, other_up = self._way_up(frame), self._way_up(other)
        return up, other_up, next((name for name in up if name in other_up), None)

    def _way_up(self, frame: str) -> list[str]:
        """The frame and those above it; where they form a circle, once round it."""
        way = [frame]
        while (parent := self._parent_of.get(way[-1])) is not None and parent not in way:
            way.append(parent)
        return way

    def _to_ancestor(self, way: list[str], ancestor: str, stamp_ns: int) -> np.ndarray:
        pose = np.eye(4)
        for name in way[: way.index(ancestor)]:
            step = self._fixed[name] if name in self._fixed else self._tracks[name].at(stamp_ns)
            pose = step @ pose
        return pose

    def _known(self, way: list[str]) -> str:
        return " below ".join(way) if len(way) > 1 or way[0] in self._parent_of.values() else f"nothing of {way[0]}"


def plain(frame: str) -> str:
    """A frame's name without the slash that ROS 1 began it with."""
    return frame.removeprefix("/")
