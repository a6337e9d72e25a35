"""The segmentation node, and on request a bag that plays into it and RViz with the class colours.

ros2 launch pvd_ros segment.launch.py topic:=/lidar/points
ros2 launch pvd_ros segment.launch.py bag:=/data/drive rviz:=true
"""

from pathlib import Path
from typing import Any

from launch import LaunchDescription
from pvd_core.borders.errors import UserError
from pvd_ros.middleware.launch_checks import check_bag, check_packages, check_rviz
from pvd_ros.middleware.launch_parts import described, python_program, rviz, segmenter, transport, when_it_ends
from pvd_ros.middleware.packages import NODE_NEEDS, PLAYER_NEEDS
from pvd_ros.middleware.params_file import check_params_file

# The folder beside this one, both in the source tree and in share/pvd_ros.
CONFIG = Path(__file__).parent.parent / "config"
BOOLEANS = ("false", "true", "False", "True")

# name: (default, meaning, values allowed; none: any). Where the default is empty, the parameter file decides.
ARGUMENTS = {
    "topic": ("/velodyne_points", "sensor_msgs/PointCloud2 topic to label", ()),
    "weights": (
        "",
        "a .safetensors file, or multiscan; several, with commas, vote; empty: as params_file says",
        (),
    ),
    "device": ("", "auto, cpu, cuda or cuda:N; empty: as params_file says", ()),
    "params_file": (str(CONFIG / "node.yaml"), "parameters of the node", ()),
    "namespace": ("", "namespace of the node; its topics are then /NAMESPACE/segmenter/points and so on", ()),
    "reliability": ("", "best_effort or reliable input; empty: as params_file says", ("", "best_effort", "reliable")),
    "use_sim_time": ("", "true takes the time from /clock; empty: as params_file says", ("", *BOOLEANS)),
    "log_level": ("info", "least level of the node's log", ("debug", "info", "warn", "error", "fatal")),
    "respawn": ("false", "true starts the node again when it ends by itself", BOOLEANS),
    "bag": ("", "rosbag2 to play onto `topic`; empty: none", ()),
    "bag_topic": ("", "cloud topic in the bag; empty: its only one", ()),
    "rate": ("1.0", "speed of the bag; 2.0 plays twice as fast", ()),
    "stay": ("false", "true goes on when the bag has ended", BOOLEANS),
    "rviz": ("false", "true starts RViz with the class colours and legend", BOOLEANS),
    "frame": ("velodyne", "fixed frame of RViz: the frame_id of the clouds", ()),
}


def generate_launch_description() -> LaunchDescription:
    """What `ros2 launch` calls."""
    return described(ARGUMENTS, _actions)


def _actions(chosen: dict[str, str]) -> list[Any]:
    _check(chosen)
    actions = [*transport(), _segmenter(chosen)]
    if chosen["bag"]:
        actions.append(_player(chosen))
    if _is_true(chosen["rviz"]):
        own = "/" + chosen["namespace"].strip("/") if chosen["namespace"].strip("/") else ""
        actions.append(rviz(chosen["frame"], [(f"/segmenter/{it}", f"{own}/segmenter/{it}") for it in _SHOWN]))
    return actions


# What config/pvd.rviz subscribes to.
_SHOWN = ("points", "legend")


def _check(chosen: dict[str, str]) -> None:
    """Everything that would fail later fails here, while nothing runs yet."""
    check_packages([*NODE_NEEDS, *(PLAYER_NEEDS if chosen["bag"] else ())])
    check_params_file(chosen["params_file"])
    if chosen["bag"]:
        check_bag(chosen["bag"], chosen["bag_topic"])
        if _is_true(chosen["use_sim_time"]):
            raise UserError("use_sim_time needs a /clock, which bag:= does not publish; use `ros2 bag play --clock`")
    if _is_true(chosen["rviz"]):
        check_rviz()


def _segmenter(chosen: dict[str, str]) -> Any:
    given: dict[str, Any] = {"points_in": chosen["topic"]}
    given.update({name: chosen[name] for name in ("weights", "device") if chosen[name]})
    if chosen["reliability"]:
        given["input_reliability"] = chosen["reliability"]
    if chosen["use_sim_time"]:
        given["use_sim_time"] = _is_true(chosen["use_sim_time"])
    options: dict[str, Any] = {
        "namespace": chosen["namespace"],
        "ros_arguments": ["--log-level", chosen["log_level"]],
        "respawn": _is_true(chosen["respawn"]),
        "respawn_delay": 2.0,
    }
    if options["respawn"]:
        options["on_exit"] = None
    return segmenter(chosen["params_file"], given, **options)


def _player(chosen: dict[str, str]) -> Any:
    arguments = [chosen["bag"], "--publish-as", chosen["topic"], "--rate", chosen["rate"]]
    # The node takes seconds to load its network; the player starts when the node has subscribed.
    arguments += ["--wait-for-subscribers", "1"]
    if chosen["bag_topic"]:
        arguments += ["--topic", chosen["bag_topic"]]
    if chosen["reliability"] == "reliable":
        arguments.append("--reliable")
    on_exit = when_it_ends("bag_player", stays=_is_true(chosen["stay"]))
    return python_program("pvd_ros.play", "bag_player", *arguments, on_exit=on_exit)


def _is_true(text: str) -> bool:
    return text.lower() == "true"
