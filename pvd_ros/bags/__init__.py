"""Bags (MCAP, sqlite3, ROS 1), without ROS installed: read clouds, write scans, label a whole bag."""

from pvd_ros.bags.channel import BagError, Channel, Message
from pvd_ros.bags.label import label_bag
from pvd_ros.bags.label_options import LabelOptions
from pvd_ros.bags.label_report import LabelReport
from pvd_ros.bags.pose_options import PoseOptions
from pvd_ros.bags.reader import BagCloud, open_bag, read_clouds, topics_of
from pvd_ros.bags.writer import BagWriter, write_scans

__all__ = [
    "BagCloud",
    "BagError",
    "BagWriter",
    "Channel",
    "LabelOptions",
    "LabelReport",
    "Message",
    "PoseOptions",
    "label_bag",
    "open_bag",
    "read_clouds",
    "topics_of",
    "write_scans",
]
