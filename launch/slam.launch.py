"""The segmentation node, and KISS-ICP on its cloud without movers: a map with hardly any of their trails.

ros2 launch pvd_ros slam.launch.py topic:=/lidar/points base_frame:=base_link
"""

from pathlib import Path
from typing import Any

from launch_ros.actions import Node

from launch import LaunchDescription
from pvd_ros.middleware.launch_checks import check_packages, check_ros_package
from pvd_ros.middleware.launch_parts import described, ending_with_launch, segmenter, transport, when_it_ends
from pvd_ros.middleware.packages import NODE_NEEDS
from pvd_ros.middleware.params_file import check_params_file

# The folder beside this one, both in the source tree and in share/pvd_ros.
CONFIG = Path(__file__).parent.parent / "config"
# name: (default, meaning, values allowed; none: any)
ARGUMENTS = {
    "topic": ("/velodyne_points", "sensor_msgs/PointCloud2 topic to label", ()),
    "weights": (
        "",
        "a .safetensors file, or multiscan; several, with commas, vote; empty: as params_file says",
        (),
    ),
    "device": ("", "auto, cpu, cuda or cuda:N; empty: as params_file says", ()),
    "params_file": (
        str(CONFIG / "node.yaml"),
        "parameters of the node; static_without says what the odometry sees not",
        (),
    ),
    "kiss_icp_topic": ("/segmenter/static", "cloud that KISS-ICP takes; `topic` would be the one with movers", ()),
    "base_frame": ("", "frame of the vehicle for KISS-ICP; empty: that of the clouds", ()),
}


def generate_launch_description() -> LaunchDescription:
    """What `ros2 launch` calls."""
    return described(ARGUMENTS, _actions)


def _actions(chosen: dict[str, str]) -> list[Any]:
    check_packages(NODE_NEEDS)
    check_params_file(chosen["params_file"])
    check_ros_package("kiss_icp", "build https://github.com/PRBonn/kiss-icp in your workspace")
    given = {"points_in": chosen["topic"]} | {name: chosen[name] for name in ("weights", "device") if chosen[name]}
    # KISS-ICP takes the time of each point from the fields of its input, which ~/static keeps.
    return [*transport(), segmenter(chosen["params_file"], given), _odometry(chosen)]


def _odometry(chosen: dict[str, str]) -> Node:
    return Node(
        package="kiss_icp",
        executable="kiss_icp_node",
        name="kiss_icp_node",
        exec_name="kiss_icp_node",
        remappings=[("pointcloud_topic", chosen["kiss_icp_topic"])],
        parameters=[{"base_frame": chosen["base_frame"]}],
        on_exit=when_it_ends("kiss_icp_node"),
        output="screen",
        **ending_with_launch(),
    )
