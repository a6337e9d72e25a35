"""ROS 2, the simulator with its system libraries, and the packages behind single commands."""

import ctypes
import os
import subprocess
import sys
from importlib import util

from pvd_cli.checks.finding import Finding, installed_version

# Libraries that Open3D's wheel takes from the system, with their Debian and Ubuntu packages.
OPEN3D_LIBRARIES = {
    "libusb-1.0.so.0": "libusb-1.0-0",
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libX11.so.6": "libx11-6",
    "libgomp.so.1": "libgomp1",
    "libudev.so.1": "libudev1",
    "libidn2.so.0": "libidn2-0",
}
_PACKAGES = {  # package -> (extra that brings it, what it is for)
    "rosbags": ("", "bags: label-bag, play-bag, simulate --bag"),
    "lightning": ("train", "training"),
    "torchmetrics": ("train", "training"),
    "tensorboard": ("train", "training curves"),
    "matplotlib": ("view", "pictures"),
}
_IMPORT_TIMEOUT_S = 60


def check_ros():
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


def check_simulator():
    if util.find_spec("open3d") is None:
        return [Finding("open3d", False, "not installed: no simulated drives", "pip install 'pvd_ros[sim]'")]
    missing = [package for library, package in OPEN3D_LIBRARIES.items() if not _is_loadable(library)]
    if missing:
        found = f"installed, but system libraries are missing: {' '.join(missing)}"
        return [Finding("open3d", False, found, f"sudo apt-get install {' '.join(missing)}")]
    is_present, output = _runs("import open3d; print(open3d.__version__)")
    if is_present:
        return [Finding("open3d", True, output.splitlines()[-1])]
    return [Finding("open3d", False, f"does not import: {_last_line(output)}", "pip install 'pvd_ros[sim]' anew")]


def check_packages():
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


def _is_loadable(library):
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
