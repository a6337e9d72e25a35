"""ROS 2, the simulator's ray caster, the window, and the packages behind single commands."""

import os
import re
import subprocess
import sys
from importlib import util

from pvd_cli.checks.finding import Finding, installed_version

_PACKAGES = {  # package -> (extra that brings it, what it is for)
    "rosbags": ("", "bags: label-bag, play-bag, simulate --bag"),
    "mcap": ("", "bags: label-bag, play-bag, simulate --bag"),
    "lightning": ("train", "training"),
    "torchmetrics": ("train", "training"),
    "tensorboard": ("train", "training curves"),
    "matplotlib": ("", "pictures"),
}
_IMPORT_TIMEOUT_S = 60
_MISSING_LIBRARY = re.compile(r"(lib\S+?): cannot open shared object file")


def check_ros() -> list[Finding]:
    """Imports in a process of their own: a broken ROS may end the interpreter."""
    script = (
        "import rclpy, sensor_msgs.msg, diagnostic_msgs.msg, visualization_msgs.msg\n"
        "from rclpy.utilities import get_rmw_implementation_identifier as rmw\n"
        "print(rmw())\n"
    )
    origin = f"ROS 2 {os.environ['ROS_DISTRO']}" if "ROS_DISTRO" in os.environ else "pip wheels"
    is_present, output = _runs(script)
    if is_present:
        return [Finding("ros 2", True, f"rclpy from {origin}, {output.splitlines()[-1]}")]
    remedy = (
        "source a ROS 2 (Humble, Jazzy, Kilted) built for this Python, or pip install 'pvd_ros[ros]' (x86-64 Linux)"
    )
    return [Finding("ros 2", False, f"the node cannot run: {_last_line(output)}", remedy)]


def check_simulator() -> list[Finding]:
    script = "from embreex.rtcore_scene import EmbreeScene; import importlib.metadata as m; print(m.version('embreex'))"
    return [_imported("embreex", script, "no simulated drives", "sim")]


def check_window() -> list[Finding]:
    script = "import open3d; print(open3d.__version__)"
    return [_imported("open3d", script, "no window of `pvd view`, pictures work", "view")]


def _imported(name, script, without, extra):
    """A package that is imported in a process of its own: its wheel may lack libraries of the system."""
    if util.find_spec(name) is None:
        return Finding(name, False, f"not installed: {without}", f"pip install 'pvd_ros[{extra}]'")
    is_present, output = _runs(script)
    if is_present:
        return Finding(name, True, output.splitlines()[-1])
    library = _MISSING_LIBRARY.search(output)
    if library:
        found = f"installed, but the system lacks {library[1]}: {without}"
        return Finding(name, False, found, "install that library (Debian, Ubuntu: `apt-file search` names its package)")
    return Finding(name, False, f"does not import: {_last_line(output)}", f"pip install 'pvd_ros[{extra}]' anew")


def check_packages() -> list[Finding]:
    return [_package(name, *facts) for name, facts in _PACKAGES.items()]


def _package(name, extra, purpose):
    if version := installed_version(name):
        return Finding(name, True, version)
    what = f"'pvd_ros[{extra}]'" if extra else name
    return Finding(name, False, f"not installed: no {purpose}", f"pip install {what}")


def _runs(script):
    try:
        result = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, timeout=_IMPORT_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        return False, f"no answer within {_IMPORT_TIMEOUT_S} s"
    return result.returncode == 0, result.stdout if result.returncode == 0 else result.stderr


def _last_line(text):
    return (text.strip().splitlines() or ["ended without a message"])[-1]
