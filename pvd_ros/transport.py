"""Fast DDS settings that deliver clouds of some megabytes; see config/fastdds.xml."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from pvd_ros.shipped_files import config_file

# Fast DDS 2 (Humble, Jazzy) reads the first name, Fast DDS 3 (Kilted) the second.
PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")

SHARED_MEMORY = Path("/dev/shm")
# Five processes with the segment of fastdds.xml, or one with that of fastdds_small.xml. Without room for its segment a
# process falls back to UDP, where 11 of 40 clouds of 2 MB arrived.
ENOUGH_MB = 5 * 64
LEAST_MB = 12


def fastdds_environment() -> dict[str, str]:
    """Environment variables that make a process use the shipped profile that fits this machine."""
    return dict.fromkeys(PROFILE_VARIABLES, str(_fitting_profile()))


def use_shipped_profile() -> None:
    """Before rclpy.init: use the shipped profile unless the user chose one. Other middlewares ignore it."""
    if not any(os.environ.get(name) for name in PROFILE_VARIABLES):
        os.environ.update(fastdds_environment())


def _fitting_profile() -> Path:
    if not SHARED_MEMORY.is_dir():
        return config_file("fastdds.xml")
    free_mb = shutil.disk_usage(SHARED_MEMORY).free / 2**20
    if free_mb < LEAST_MB:
        print(
            f"warning: {SHARED_MEMORY} has {free_mb:.0f} MB free, needs {LEAST_MB} MB a process: clouds will be lost; "
            "give a container more, --shm-size=512m",
            file=sys.stderr,
        )
    return config_file("fastdds.xml" if free_mb >= ENOUGH_MB else "fastdds_small.xml")
