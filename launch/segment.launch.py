"""The segmentation node, and on request a bag that plays into it and RViz with the class colours.

ros2 launch pvd_ros segment.launch.py topic:=/lidar/points
ros2 launch pvd_ros segment.launch.py bag:=/data/drive rviz:=true
"""

import os
from pathlib import Path
from typing import Any

from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchDescription
from pvd_ros.middleware.transport import PROFILE_VARIABLES, fastdds_environment

# The folder beside this one, both in the source tree and in share/pvd_ros.
CONFIG = Path(__file__).parent.parent / "config"

# name: (default, meaning)
ARGUMENTS = {
    "topic": ("/velodyne_points", "sensor_msgs/PointCloud2 topic to label"),
    "weights": ("", "path of a .safetensors file; empty: as params_file says"),
    "device": ("", "auto, cpu, cuda or cuda:N; empty: as params_file says"),
    "params_file": (str(CONFIG / "node.yaml"), "parameters of the node"),
    "bag": ("", "rosbag2 to play onto `topic`; empty: none"),
    "bag_topic": ("", "cloud topic in the bag; empty: its only one"),
    "rate": ("1.0", "speed of the bag; 2.0 plays twice as fast"),
    "rviz": ("false", "true starts RViz with the class colours and legend"),
    "frame": ("velodyne", "fixed frame of RViz: the frame_id of the clouds"),
}


def generate_launch_description() -> LaunchDescription:
    """What `ros2 launch` calls."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=meaning)
        for name, (default, meaning) in ARGUMENTS.items()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=_actions)])


def _actions(context: Any) -> list[Any]:
    chosen = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    actions = [*_transport(), _segmenter(chosen)]
    if chosen["bag"]:
        actions.append(_player(chosen))
    if chosen["rviz"].lower() in ("true", "1"):
        actions.append(_rviz(chosen))
    return actions


def _transport() -> list[Any]:
    """Gives all processes, RViz too, Fast DDS settings with room for large clouds, unless the user chose a profile."""
    if any(os.environ.get(name) for name in PROFILE_VARIABLES):
        return []
    return [SetEnvironmentVariable(name, value) for name, value in fastdds_environment().items()]


def _segmenter(chosen: dict[str, str]) -> Node:
    given = {"points_in": chosen["topic"]}
    # An empty argument leaves the choice to the parameter file.
    given.update({name: chosen[name] for name in ("weights", "device") if chosen[name]})
    return Node(
        package="pvd_ros",
        executable="segmenter_node",
        name="segmenter",
        parameters=[chosen["params_file"], given],
        output="screen",
    )


def _player(chosen: dict[str, str]) -> ExecuteProcess:
    command = [
        "python3",
        "-m",
        "pvd_ros.play",
        chosen["bag"],
        "--publish-as",
        chosen["topic"],
        "--rate",
        chosen["rate"],
    ]
    # The node takes seconds to load its network; the player starts when the node has subscribed.
    command += ["--wait-for-subscribers", "1"]
    if chosen["bag_topic"]:
        command += ["--topic", chosen["bag_topic"]]
    return ExecuteProcess(cmd=command, output="screen")


def _rviz(chosen: dict[str, str]) -> Node:
    return Node(
        package="rviz2",
        executable="rviz2",
        name="rviz2",
        arguments=["-d", str(CONFIG / "pvd.rviz"), "-f", chosen["frame"]],
        output="log",
    )
