"""Fast DDS settings that deliver clouds of some megabytes; see config/fastdds.xml."""

from __future__ import annotations

import os
from pathlib import Path

from pvd_ros.shipped_files import config_file

# Fast DDS 2 (Humble, Jazzy) reads the first name, Fast DDS 3 (Kilted) the second.
PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")


def fastdds_environment(profile: Path | None = None) -> dict[str, str]:
    """Environment variables that make a process use `profile`, the shipped one by default."""
    return dict.fromkeys(PROFILE_VARIABLES, str(profile or config_file("fastdds.xml")))


def use_shipped_profile() -> None:
    """Before rclpy.init: use the shipped profile unless the user chose one. Other middlewares ignore it."""
    if not any(os.environ.get(name) for name in PROFILE_VARIABLES):
        os.environ.update(fastdds_environment())
