"""What launch files check before they start anything. Imports neither launch nor a package that only the virtual
environment has: `ros2 launch` runs in the system's Python, the programs in the python3 of PATH."""

from __future__ import annotations

import difflib
import re
import subprocess
from collections.abc import Collection, Iterable
from pathlib import Path

from pvd_core.borders.errors import UserError

# Arguments of launch itself and of its actions.
_OF_LAUNCH = {"launch-prefix", "launch-prefix-filter", "emulate_tty", "sigterm_timeout", "sigkill_timeout"}


def check_names(given: Iterable[str], known: Collection[str]) -> None:
    """UserError if a word "NAME:=VALUE" of `given`, what was typed behind the launch file, has a name so close to one
    of `known` that it is meant; launch ignores it without a word. Other names may be for a launch file around this."""
    for name in (word.split(":=", 1)[0] for word in given):
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
        if close and name not in known and name not in _OF_LAUNCH:
            raise UserError(f"unknown launch argument {name}; did you mean {close[0]}?")


def check_packages(names: Iterable[str]) -> None:
    """UserError if the python3 of PATH lacks one of these packages, as without the virtual environment."""
    _run_python("pvd_ros.middleware.packages", *names)


def check_bag(bag: str, topic: str) -> None:
    """UserError if `bag` cannot be played: no bag, or without the cloud topic `topic` (empty: its only one)."""
    if not Path(bag).exists():
        raise UserError(f"bag: there is no file or folder {bag}")
    _run_python("pvd_ros.play", bag, *(("--topic", topic) if topic else ()), "--check")


def check_rviz() -> None:
    """UserError if RViz is not installed."""
    check_ros_package("rviz2", "sudo apt install ros-$ROS_DISTRO-rviz2, or leave rviz:=true out")


def check_ros_package(name: str, remedy: str) -> None:
    """UserError if the ROS package `name` is not installed; `remedy` says what to do."""
    from ament_index_python.packages import PackageNotFoundError, get_package_prefix

    try:
        get_package_prefix(name)
    except (PackageNotFoundError, OSError) as error:
        raise UserError(f"there is no {name}: {remedy}") from error


def sensors_of(text: str) -> dict[str, str]:
    """{namespace: topic} of "NAME=TOPIC,NAME=TOPIC,..."; UserError for none, a name twice, and anything else."""
    sensors: dict[str, str] = {}
    for item in filter(None, (word.strip() for word in text.split(","))):
        name, equals, topic = (part.strip() for part in item.partition("="))
        if not (equals and topic and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*", name)):
            raise UserError(f"sensors has {item!r}, expected NAME=TOPIC, such as front=/front/points")
        if name in sensors:
            raise UserError(f"sensors has {name} twice: give each sensor a name of its own")
        sensors[name] = topic
    if not sensors:
        raise UserError("sensors is missing: sensors:=front=/front/points,rear=/rear/points")
    return sensors


def _run_python(module: str, *arguments: str) -> None:
    ended = subprocess.run(["python3", "-m", module, *arguments], capture_output=True, text=True)
    if ended.returncode:
        lines = (ended.stderr or ended.stdout).strip().splitlines()
        raise UserError(lines[-1] if lines else f"python3 -m {module} ended with exit code {ended.returncode}")
