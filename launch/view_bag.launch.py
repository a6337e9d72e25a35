"""A bag that `pvd label-bag` has written, in RViz with the class colours and the legend. Nothing is labelled here.

ros2 launch pvd_ros view_bag.launch.py bag:=/data/labelled.mcap topic:=/velodyne_points/labelled
"""

from typing import Any

from launch import LaunchDescription
from pvd_core.borders.errors import UserError
from pvd_ros.middleware.launch_checks import check_bag, check_packages, check_rviz
from pvd_ros.middleware.launch_parts import described, python_program, rviz, transport, when_it_ends
from pvd_ros.middleware.packages import PLAYER_NEEDS

# Here by name: the classes themselves need NumPy, which the Python of `ros2 launch` may lack.
TAXONOMIES = ("semantickitti", "semantickitti-multiscan")
# name: (default, meaning, values allowed; none: any)
ARGUMENTS = {
    "bag": ("", "rosbag2 with labelled clouds", ()),
    "topic": ("/velodyne_points/labelled", "topic of the labelled clouds in the bag", ()),
    "rate": ("1.0", "speed of the bag; 2.0 plays twice as fast", ()),
    "frame": ("velodyne", "fixed frame of RViz: the frame_id of the clouds", ()),
    "taxonomy": ("semantickitti", "classes of the labels, for the legend", TAXONOMIES),
}


def generate_launch_description() -> LaunchDescription:
    """What `ros2 launch` calls."""
    return described(ARGUMENTS, _actions)


def _actions(chosen: dict[str, str]) -> list[Any]:
    _check(chosen)
    # On the topic that config/pvd.rviz shows, which listens reliably.
    play = [chosen["bag"], "--topic", chosen["topic"], "--publish-as", "/segmenter/points", "--rate", chosen["rate"]]
    play += ["--reliable", "--loop", "--wait-for-subscribers", "1"]
    legend = ["--frame", chosen["frame"], "--taxonomy", chosen["taxonomy"]]
    return [
        *transport(),
        python_program("pvd_ros.node.legend", "legend", *legend, on_exit=when_it_ends("legend")),
        python_program("pvd_ros.play", "bag_player", *play, on_exit=when_it_ends("bag_player")),
        rviz(chosen["frame"]),
    ]


def _check(chosen: dict[str, str]) -> None:
    """Everything that would fail later fails here, while nothing runs yet."""
    if not chosen["bag"]:
        raise UserError("bag is missing: bag:=/path/of/a/bag that `pvd label-bag` has written")
    check_packages(PLAYER_NEEDS)
    check_bag(chosen["bag"], chosen["topic"])
    check_rviz()
