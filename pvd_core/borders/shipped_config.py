"""Finds the package's config files: in the source tree, in a pip environment, or in a colcon workspace."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pvd_core.borders.errors import UserError


def config_file(name: str) -> Path:
    """Path of the file `name` in the folder config; UserError if this installation does not have it."""
    folders = [Path(__file__).resolve().parents[2] / "config", Path(sys.prefix) / "share" / "pvd_ros" / "config"]
    # A colcon install space is no Python prefix; ROS 2 lists it in this variable.
    prefixes = [Path(prefix) for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if prefix]
    folders += [prefix / "share" / "pvd_ros" / "config" for prefix in prefixes]
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    listed = ", ".join(str(folder) for folder in folders)
    raise UserError(f"no config file {name} in: {listed}; reinstall the package")
