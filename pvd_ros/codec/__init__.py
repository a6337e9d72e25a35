"""PointCloud2 <-> NumPy arrays, for messages of rclpy or rosbags. Needs NumPy only."""

from pvd_ros.codec.decode import DecodedCloud, decode, decode_data
from pvd_ros.codec.encode import CloudTypes, encode, rclpy_cloud_types
from pvd_ros.codec.label_cloud import label_cloud
from pvd_ros.codec.layout import (
    CLOUD_TYPE,
    REASONS,
    CloudLayout,
    MalformedCloudError,
    check_intensity_field,
    read_layout,
)
from pvd_ros.codec.point_bytes import chosen_points, with_fields_of_input
from pvd_ros.codec.stamp import stamp_of

__all__ = [
    "CLOUD_TYPE",
    "REASONS",
    "CloudLayout",
    "CloudTypes",
    "DecodedCloud",
    "MalformedCloudError",
    "check_intensity_field",
    "chosen_points",
    "decode",
    "decode_data",
    "encode",
    "label_cloud",
    "rclpy_cloud_types",
    "read_layout",
    "stamp_of",
    "with_fields_of_input",
]
