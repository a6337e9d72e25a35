"""The vehicle around the sensor: where the sensor stands on it, by /tf_static, and which of its points are cropped."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import Any

import numpy as np

from pvd_core.borders.errors import UserError
from pvd_core.clouds.crop import Crop
from pvd_core.clouds.judge import MOUNTING_SETTINGS
from pvd_core.clouds.mounting import Mounting
from pvd_ros.middleware.ros_session import qos_profile
from pvd_ros.node.history import transforms_type
from pvd_ros.poses import FrameTree, PoseLimits

_CROP = ("min_range", "max_range", "ego_box")
_DEPTH = 200


class Vehicle:
    """What the parameters of `node` say of the vehicle, as they are when a cloud comes. Clouds are asked for in one
    thread, transforms come in another."""

    def __init__(self, node: Any) -> None:
        self._node = node
        self._subscription: Any = None
        self._lock = Lock()
        self._frames = FrameTree("", PoseLimits())
        self._missing: dict[str, str] = {}

    @property
    def remarks(self) -> list[str]:
        """What could not be done with the last cloud, because no transform of its frame is known."""
        return list(self._missing.values())

    def check(self, changes: Mapping[str, Any]) -> None:
        """UserError for a crop that is none, and where a frame is named and its messages are not installed. `changes`
        to parameters come on top."""
        min_range, max_range, box = (changes.get(name, self._value(name)) for name in _CROP)
        try:
            Crop(min_range, max_range, tuple(box))
        except UserError as error:
            raise UserError(f"parameters {', '.join(_CROP)}: {error}") from error
        for parameter in ("ego_frame", "base_frame"):
            if self._value(parameter):
                transforms_type(parameter)

    def start(self) -> None:
        """Subscribes to /tf_static if a frame of the vehicle is named."""
        named = next((name for name in ("ego_frame", "base_frame") if self._value(name)), None)
        if named:
            qos = qos_profile(True, _DEPTH, latched=True)
            message_type = transforms_type(named)
            self._subscription = self._node.create_subscription(message_type, "/tf_static", self.hear, qos)

    def stop(self) -> None:
        """Ends the subscription; what is known stays."""
        if self._subscription:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    def hear(self, message: Any) -> None:
        """Takes a tf2_msgs/TFMessage of fixed transforms."""
        with self._lock:
            self._frames.add(message, True)

    def mounting(self, frame: str) -> Mounting:
        """How a sensor with the frame `frame` is mounted: by the transform to `base_frame`; by the parameters where
        none is named or its transform is not known."""
        by_parameters = Mounting(*(self._value(name) for name in MOUNTING_SETTINGS))
        if not self._value("base_frame"):
            return by_parameters
        pose = self._pose("base_frame", frame, "the parameters of the mounting are taken")
        try:
            return by_parameters if pose is None else mounting_of(pose)
        except UserError as error:  # a callback must not raise
            self._say("base_frame", f"the transform from base_frame to {frame} is no mounting: {error}")
            return by_parameters

    @property
    def crops(self) -> bool:
        """Whether there may be points to crop."""
        return not self._crop().is_nothing

    def is_cropped(self, points: np.ndarray, frame: str) -> np.ndarray | None:
        """bool (N,) for `points`, float32 (N, 4) as received in the frame `frame`; None where nothing is cropped."""
        crop, to_box = self._crop(), None
        if crop.has_box and self._value("ego_frame"):
            to_box = self._pose("ego_frame", frame, "ego_box is not cropped")
            if to_box is None:
                crop = Crop(crop.min_range, crop.max_range)
        return None if crop.is_nothing else crop.is_cropped(points, to_box)

    def _crop(self) -> Crop:
        return Crop(self._value("min_range"), self._value("max_range"), tuple(self._value("ego_box")))

    def _pose(self, parameter: str, frame: str, instead: str) -> np.ndarray | None:
        """float64 (4, 4), from `frame` to the frame that the parameter names; None where it is not known."""
        name = self._value(parameter)
        with self._lock:
            pose = self._frames.fixed_transform(name, frame)
        if pose is not None:
            self._missing.pop(parameter, None)
        else:
            self._say(
                parameter,
                f"no fixed transforms lead from {name} ({parameter}) to {frame}, so {instead}: publish /tf_static",
            )
        return pose

    def _say(self, parameter: str, remark: str) -> None:
        if self._missing.get(parameter) != remark:
            self._missing[parameter] = remark
            self._node.get_logger().warning(remark)

    def _value(self, name: str) -> Any:
        return self._node.get_parameter(name).value


def mounting_of(pose: np.ndarray) -> Mounting:
    """The mounting of a sensor with this pose, float64 (4, 4), in a level frame on the ground with x forward."""
    turn = pose[:3, :3]
    pitch = np.arcsin(np.clip(-turn[2, 0], -1, 1))
    roll, yaw = np.arctan2(turn[2, 1], turn[2, 2]), np.arctan2(turn[1, 0], turn[0, 0])
    return Mounting(float(pose[2, 3]), *(float(np.degrees(angle)) for angle in (roll, pitch, yaw)))
