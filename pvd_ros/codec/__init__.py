"""PointCloud2 <-> arrays, for any duck-typed message: rclpy's or rosbags'. Needs numpy only."""

from pvd_ros.codec.decode import DecodedCloud, decode, decode_data
from pvd_ros.codec.encode import CloudTypes, encode, rclpy_cloud_types
from pvd_ros.codec.layout import REASONS, CloudLayout, MalformedCloudError, read_layout

__all__ = [
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
]
