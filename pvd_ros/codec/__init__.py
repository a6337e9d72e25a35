"""PointCloud2 <-> NumPy arrays, for messages of rclpy or rosbags. Needs NumPy only."""

from pvd_ros.codec.decode import DecodedCloud, decode, decode_data
from pvd_ros.codec.encode import CloudTypes, encode, rclpy_cloud_types
from pvd_ros.codec.layout import CLOUD_TYPE, REASONS, CloudLayout, MalformedCloudError, read_layout
from pvd_ros.codec.stamp import stamp_of

__all__ = [
    "CLOUD_TYPE",
    "REASONS",
    "CloudLayout",
    "CloudTypes",
    "DecodedCloud",
    "MalformedCloudError",
    "decode",
    "decode_data",
    "encode",
    "rclpy_cloud_types",
    "read_layout",
    "stamp_of",
]
