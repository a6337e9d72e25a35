"""The same clouds through the real node over ROS 2: what comes on ~/static is what the measurement took for it."""

from pathlib import Path
from typing import Any

import numpy as np

from pvd_cli.bags import FIRST_STAMP_NS
from pvd_cli.demo.domain import ros_environment
from pvd_cli.demo.processes import Child
from pvd_core.borders.errors import UserError
from pvd_core.segmenter import Segmenter
from pvd_ros.bags import read_clouds, write_scans
from scripts.slam_trajectory.static_points import StaticPoints
from training.simulate import simulate_sequence

_TOPIC, _STATIC = "/velodyne_points", "/segmenter/static"
_PATIENCE_S = 240
# The node takes the newest cloud; so far apart none is left out, however busy the machine.
_SPACING_NS = 3 * 10**9


def compared_with_node(
    world: str, seed: int, num_clouds: int, interval_s: float, weights: Path, folder: Path
) -> dict[str, Any]:
    """{"clouds", "points": on ~/static, "differing_clouds": those whose bytes are others than here} of the first clouds
    of a drive. `folder`: new, for bags and logs. UserError where a process fails or a cloud does not come."""
    clouds = [frame.points for frame in simulate_sequence(seed, num_clouds, scan_interval_s=interval_s, world=world)]
    static = StaticPoints(Segmenter.from_weights(weights, "cpu"))
    wanted = [points[static.of_node(points)].tobytes() for points in clouds]
    heard = _through_node(clouds, weights, folder)
    if len(heard) != num_clouds:
        raise UserError(f"{len(heard)} of {num_clouds} clouds came on {_STATIC}: see the logs in {folder}")
    differing = sum(found != expected for found, expected in zip(heard, wanted, strict=True))
    return {"clouds": num_clouds, "points": sum(map(len, wanted)) // 16, "differing_clouds": differing}


def _through_node(clouds: list[np.ndarray], weights: Path, folder: Path) -> list[bytes]:
    """The points of each cloud on ~/static, float32 (N, 4) as bytes."""
    folder.mkdir(parents=True)
    frames = ((points, FIRST_STAMP_NS + number * _SPACING_NS) for number, points in enumerate(clouds))
    write_scans(folder / "drive", frames, _TOPIC)
    parameters = ("-p", f"points_in:={_TOPIC}", "-p", f"weights:={weights.resolve()}", "-p", "device:=cpu")
    limits = ("--max-clouds", len(clouds), "--timeout", _PATIENCE_S)
    with ros_environment() as environment:

        def child(name: str, module: str, *arguments: object) -> Child:
            return Child(name, module, arguments, environment, folder / f"{name}.log")

        # One after the other: participants that appear at the same moment can take seconds to find each other.
        with child("recorder", "pvd_ros.record", folder / "static", "--topic", _STATIC, *limits) as recorder:
            recorder.wait_for_output("recording", _PATIENCE_S)
            with child("node", "pvd_ros.node", "--ros-args", *parameters) as node:
                node.wait_for_output("labelling", _PATIENCE_S)
                recorder.wait_for_output("hearing", _PATIENCE_S)
                with child("player", "pvd_ros.play", folder / "drive", "--wait-for-subscribers", 1):
                    recorder.wait_for_output("recorded", _PATIENCE_S)
                node.finish(_PATIENCE_S)
    return [bytes(cloud.message.data) for cloud in read_clouds(folder / "static", _STATIC)]
