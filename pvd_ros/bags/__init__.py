"""rosbag2 files (MCAP and sqlite3), without ROS installed: read clouds, write scans, label a whole bag."""

from pvd_ros.bags.label import LabelOptions, LabelReport, label_bag
from pvd_ros.bags.reader import BagCloud, BagError, read_clouds, topics_of
from pvd_ros.bags.writer import BagWriter, write_scans

__all__ = [
    "BagCloud",
    "BagError",
    "BagWriter",
    "LabelOptions",
    "LabelReport",
    "label_bag",
    "read_clouds",
    "topics_of",
    "write_scans",
]
