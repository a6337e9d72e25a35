"""One segmentation node for each LiDAR of a vehicle, each in a namespace of its own.

ros2 launch pvd_ros several.launch.py sensors:=front=/front/points,rear=/rear/points
ros2 launch pvd_ros several.launch.py sensors:=front=/front/points,rear=/rear/points params_file:=/path/to/vehicle.yaml
"""

from pathlib import Path
from typing import Any

from launch import LaunchDescription
from pvd_ros.middleware.launch_checks import check_packages, sensors_of
from pvd_ros.middleware.launch_parts import described, segmenter, transport
from pvd_ros.middleware.packages import NODE_NEEDS
from pvd_ros.middleware.params_file import check_params_file

# The folder beside this one, both in the source tree and in share/pvd_ros.
CONFIG = Path(__file__).parent.parent / "config"
# name: (default, meaning, values allowed; none: any)
ARGUMENTS = {
    "sensors": (
        "",
        "NAME=TOPIC,NAME=TOPIC,...: the namespace of each node and the sensor_msgs/PointCloud2 it labels",
        (),
    ),
    "params_file": (
        str(CONFIG / "node.yaml"),
        "parameters of the nodes: a section /** for all, /front/segmenter for the one in namespace front",
        (),
    ),
    "weights": (
        "",
        "a .safetensors file, or multiscan; several, with commas, vote; empty: as params_file says",
        (),
    ),
    "device": ("", "auto, cpu, cuda or cuda:N; empty: as params_file says", ()),
}


def generate_launch_description() -> LaunchDescription:
    """What `ros2 launch` calls."""
    return described(ARGUMENTS, _actions)


def _actions(chosen: dict[str, str]) -> list[Any]:
    sensors = sensors_of(chosen["sensors"])
    check_packages(NODE_NEEDS)
    check_params_file(chosen["params_file"])
    return [*transport(), *(_segmenter(name, topic, chosen) for name, topic in sensors.items())]


def _segmenter(namespace: str, topic: str, chosen: dict[str, str]) -> Any:
    given = {"points_in": topic} | {name: chosen[name] for name in ("weights", "device") if chosen[name]}
    return segmenter(chosen["params_file"], given, f"segmenter_{namespace}", namespace=namespace)
