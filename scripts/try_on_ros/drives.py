"""The bags that are played: a small simulated drive with its transforms, and large clouds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rosbags.convert.converter import LATCH

from pvd_cli.bags import sequence_frames
from pvd_core.borders.errors import UserError
from pvd_core.clouds import read_cloud
from pvd_core.clouds.example import spinning_scan
from pvd_core.clouds.poses import frame_poses
from pvd_ros.bags import BagWriter, Channel, write_scans
from pvd_ros.bags.reader import cloud_topic, open_bag
from pvd_ros.bags.types import cloud_from_points, typestore
from pvd_ros.poses.rigid import quaternion_of

TOPIC, FRAME, VEHICLE, FIXED = "/velodyne_points", "velodyne", "base_link", "odom"
NUM_SCANS, PERIOD_NS, FIRST_NS = 12, 10**8, 1_700_000_000 * 10**9
NUM_LARGE, NUM_SMALL, LARGE_POINTS = 10, 8, 131_072
_TRANSFORMS = "tf2_msgs/msg/TFMessage"
# The sensor stands on the vehicle.
_MOUNTED = np.array(((1.0, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 1.73), (0, 0, 0, 1)))


@dataclass(frozen=True)
class Drive:
    """A bag, its cloud topic, how many clouds are on it, and whether it has transforms."""

    bag: Path
    topic: str
    num_clouds: int
    has_transforms: bool


def opened_drive(bag: Path, topic: str | None) -> Drive:
    """A drive of the user's. BagError and UserError where it cannot be played."""
    with open_bag(bag) as found:
        topic = cloud_topic(found, topic)
        topics = {channel.topic for channel in found.channels}
        return Drive(bag, topic, found.count(topic), {"/tf", "/tf_static"} <= topics)


def simulated_drive(folder: Path) -> Drive:
    """A drive through a simulated street, seen by a sensor of 16 beams, with /tf and /tf_static."""
    from training.simulate.dataset import write_dataset

    write_dataset(folder / "data", (), ("08",), NUM_SCANS, sensor="vlp16")
    sequence, bag = folder / "data/sequences/08", folder / "drive"
    frames = sequence_frames(sequence)
    poses = frame_poses(sequence, [scan.stem for scan, _, _ in frames]).poses
    with BagWriter(bag) as writer:
        _write_transform(writer, "/tf_static", frames[0][2], frames[0][2] - PERIOD_NS, (_MOUNTED, VEHICLE, FRAME))
        for (scan, _, stamp_ns), pose in zip(frames, poses, strict=True):
            vehicle = pose @ np.linalg.inv(_MOUNTED)
            _write_transform(writer, "/tf", stamp_ns, stamp_ns, (vehicle, FIXED, VEHICLE))
            writer.write_cloud(TOPIC, cloud_from_points(read_cloud(scan), stamp_ns, FRAME), stamp_ns + PERIOD_NS // 5)
    return opened_drive(bag, TOPIC)


def large_clouds(folder: Path) -> Drive:
    """NUM_LARGE clouds of 2 MB at 10 Hz between small ones: those before come while the node discovers the player and
    tell it the period, those behind tell what is missing before them."""
    large = spinning_scan(LARGE_POINTS)
    clouds = [large[:100]] * NUM_SMALL + [large] * NUM_LARGE + [large[:100]] * NUM_SMALL
    write_scans(folder / "large", ((cloud, FIRST_NS + at * PERIOD_NS) for at, cloud in enumerate(clouds)), TOPIC)
    return opened_drive(folder / "large", TOPIC)


def recorded(bag: Path, topic: str) -> tuple[int, list[str]]:
    """(number of clouds on a topic of a bag, the names of the last one's fields)."""
    from pvd_ros.bags.types import cloud_from_bytes

    with open_bag(bag) as found:
        clouds = [cloud_from_bytes(message.raw) for message in found.messages(topic)]
    if not clouds:
        raise UserError(f"{bag} has no clouds on {topic}")
    return len(clouds), [each.name for each in clouds[-1].fields]


def _write_transform(
    writer: BagWriter, topic: str, stamp_ns: int, log_time_ns: int, placed: tuple[np.ndarray, str, str]
) -> None:
    pose, parent, child = placed
    types = typestore().types
    stamp = types["builtin_interfaces/msg/Time"](stamp_ns // 10**9, stamp_ns % 10**9)
    transform = types["geometry_msgs/msg/Transform"](
        types["geometry_msgs/msg/Vector3"](*pose[:3, 3].tolist()),
        types["geometry_msgs/msg/Quaternion"](*quaternion_of(pose[:3, :3]).tolist()),
    )
    stamped = types["geometry_msgs/msg/TransformStamped"](types["std_msgs/msg/Header"](stamp, parent), child, transform)
    raw = typestore().serialize_cdr(types[_TRANSFORMS]([stamped]), _TRANSFORMS)
    # `ros2 bag play` latches what was recorded so; the node asks for that on /tf_static, as tf2 does.
    latched = tuple(LATCH) if topic == "/tf_static" else ()
    writer.write(Channel(topic, _TRANSFORMS, qos=latched), raw, log_time_ns)
