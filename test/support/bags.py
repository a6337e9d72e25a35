"""Small bags for the tests: with one cloud topic and notes beside it, whole or damaged."""

from pathlib import Path

import numpy as np
from ros_clouds import STORE, xyzi_cloud

from pvd_ros.bags import BagWriter, Channel, open_bag
from pvd_ros.codec import CLOUD_TYPE

STRING = "std_msgs/msg/String"
START_NS = 1_700_000_000 * 10**9
STEP_NS = 10**8


def points_of(seed, count=300):
    """Points (count, 4) around the sensor, some NaN and one without a return."""
    generator = np.random.default_rng(seed)
    points = generator.uniform((-20, -20, -2, 0), (20, 20, 2, 1), (count, 4)).astype(np.float32)
    points[::17, 0] = np.nan
    points[5 % count] = 0
    return points


def clouds_of(count, num_points=300):
    return [xyzi_cloud(points_of(seed, num_points), START_NS + seed * STEP_NS) for seed in range(count)]


def string_bytes(text):
    return bytes(STORE.serialize_cdr(STORE.types[STRING](data=text), STRING))


def cloud_bytes(cloud):
    return bytes(STORE.serialize_cdr(cloud, CLOUD_TYPE))


def write_drive(path, clouds, storage="mcap"):
    """A note, then a cloud 50 ns later, every 0.1 s; topics /notes and /lidar."""
    with BagWriter(path, storage) as bag:
        for index, cloud in enumerate(clouds):
            time_ns = START_NS + index * STEP_NS
            bag.write(Channel("/notes", STRING), string_bytes(f"cloud {index}"), time_ns)
            bag.write_cloud("/lidar", cloud, time_ns + 50)
    return Path(path)


def file_of(bag):
    """The only file of a bag's folder beside metadata.yaml."""
    (file,) = (each for each in Path(bag).iterdir() if each.name != "metadata.yaml")
    return file


def rows_of(bag, topic=None, salvage=False):
    """[(topic, log time in ns, bytes)] of all messages."""
    with open_bag(bag, salvage) as opened:
        return [(message.channel.topic, message.log_time_ns, message.raw) for message in opened.messages(topic)]
