"""Odometry and transforms for the tests, as messages of rosbags or of rclpy, and as bytes for bags."""

import numpy as np
from moving_drive import drive_scan, pose_at
from ros_clouds import STORE, xyzi_cloud
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from pvd_ros.bags import BagWriter, Channel

ODOMETRY, TRANSFORMS = "nav_msgs/msg/Odometry", "tf2_msgs/msg/TFMessage"
START_NS = 1_700_000_000 * 10**9
STEP_NS = 10**8


def quaternion_of(rotation):
    """x, y, z, w of a rotation matrix that turns by less than 180 degrees."""
    w = np.sqrt(max(0.0, 1 + np.trace(rotation))) / 2
    skew = rotation - rotation.T
    return np.array((skew[2, 1], skew[0, 2], skew[1, 0], 4 * w * w)) / (4 * w)


def build(name, **fields):
    """A message of rosbags."""
    return STORE.types[name](**fields)


def header(stamp_ns, frame):
    stamp = build("builtin_interfaces/msg/Time", sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return build("std_msgs/msg/Header", stamp=stamp, frame_id=frame)


def odometry(stamp_ns, pose, frame="odom", child="velodyne", quaternion=None):
    """`pose`: (4, 4)."""
    x, y, z, w = map(float, quaternion_of(pose[:3, :3]) if quaternion is None else quaternion)
    position = build("geometry_msgs/msg/Point", **dict(zip("xyz", map(float, pose[:3, 3]), strict=True)))
    at = build(
        "geometry_msgs/msg/Pose",
        position=position,
        orientation=build("geometry_msgs/msg/Quaternion", x=x, y=y, z=z, w=w),
    )
    still = build("geometry_msgs/msg/Vector3", x=0.0, y=0.0, z=0.0)
    twist = build("geometry_msgs/msg/Twist", linear=still, angular=still)
    return build(
        ODOMETRY,
        header=header(stamp_ns, frame),
        child_frame_id=child,
        pose=build("geometry_msgs/msg/PoseWithCovariance", pose=at, covariance=np.zeros(36)),
        twist=build("geometry_msgs/msg/TwistWithCovariance", twist=twist, covariance=np.zeros(36)),
    )


def transforms(*rows):
    """`rows`: (stamp in ns, pose (4, 4), parent, child)."""
    return build(TRANSFORMS, transforms=[_transform(*row) for row in rows])


def _transform(stamp_ns, pose, parent, child):
    x, y, z, w = map(float, quaternion_of(pose[:3, :3]))
    moved = build("geometry_msgs/msg/Vector3", **dict(zip("xyz", map(float, pose[:3, 3]), strict=True)))
    turned = build("geometry_msgs/msg/Quaternion", x=x, y=y, z=z, w=w)
    return build(
        "geometry_msgs/msg/TransformStamped",
        header=header(stamp_ns, parent),
        child_frame_id=child,
        transform=build("geometry_msgs/msg/Transform", translation=moved, rotation=turned),
    )


def cdr(message):
    return bytes(STORE.serialize_cdr(message, message.__msgtype__))


def truth_at(seconds):
    """The pose of `moving_drive`, a metre a scan of 0.1 s, at any time."""
    return pose_at(10 * seconds)


def drive_clouds(count):
    """The scans of `moving_drive` as clouds, every 0.1 s."""
    return [xyzi_cloud(drive_scan(frame)[0], START_NS + frame * STEP_NS) for frame in range(count)]


def write_bag(path, clouds, messages=()):
    """A bag with `clouds` on /lidar, logged at their stamps, and `messages`: (topic, log time in ns, message)."""
    rows = [("/lidar", START_NS + number * STEP_NS, cloud) for number, cloud in enumerate(clouds)]
    with BagWriter(path) as bag:
        for topic, log_time_ns, message in sorted([*rows, *messages], key=lambda row: row[1]):
            bag.write(Channel(topic, message.__msgtype__), cdr(message), log_time_ns)
    return path


def write_ros1(path, clouds, messages):
    """As write_bag, for ROS 1, whose frames begin with a slash."""
    store = get_typestore(Stores.ROS1_NOETIC)
    store.register(get_types_from_msg("geometry_msgs/TransformStamped[] transforms", TRANSFORMS))

    def old(message):
        """The same message with the classes of ROS 1."""
        name = getattr(message, "__msgtype__", None)
        if name is None:
            return [old(each) for each in message] if isinstance(message, list) else message
        fields = {each: old(value) for each, value in vars(message).items() if each != "__msgtype__"}
        if name == "std_msgs/msg/Header":
            fields |= {"seq": 0, "frame_id": f"/{fields['frame_id']}"}
        return store.types[name](**fields)

    rows = [("/lidar", START_NS + number * STEP_NS, cloud) for number, cloud in enumerate(clouds)]
    with Ros1Writer(path) as writer:
        connections = {}
        for topic, log_time_ns, message in sorted([*rows, *messages], key=lambda row: row[1]):
            name = message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, name, typestore=store)
            writer.write(connections[topic], log_time_ns, store.serialize_ros1(old(message), name))
    return path


def odometry_rows(seconds, rate_hz=50.0, late_s=0.04, pose=truth_at, **frames):
    """Odometry of /odom from 0.2 s before the first cloud on, logged a little late: rows for `write_bag`."""
    times = np.arange(-0.2, seconds, 1 / rate_hz)
    return [
        ("/odom", START_NS + round((t + late_s) * 1e9), odometry(START_NS + round(t * 1e9), pose(t), **frames))
        for t in times
    ]
