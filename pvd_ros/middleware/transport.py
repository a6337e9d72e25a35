"""Fast DDS settings that deliver clouds of some megabytes; see config/fastdds.xml."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from pvd_core.borders.shipped_config import shipped_config

# Fast DDS 2 (Humble, Jazzy) reads the first name, Fast DDS 3 (Kilted) the second.
PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")

SHARED_MEMORY = Path("/dev/shm")
# Room for the shared-memory segments of five processes with fastdds.xml, and of one with fastdds_small.xml. A process
# that has no room for its segment uses UDP, by which 11 of 40 clouds of 2 MB arrived.
ENOUGH_MB = 5 * 64
LEAST_MB = 12


def fastdds_environment() -> dict[str, str]:
    """Environment variables by which a process takes the shipped Fast DDS profile that fits this machine.

    Prints a warning where shared memory is too small for either. UserError if the profile is not installed.
    """
    return dict.fromkeys(PROFILE_VARIABLES, str(_fitting_profile()))


def use_shipped_profile() -> None:
    """Sets these variables in this process unless the user chose a profile. Call it before rclpy.init; middlewares
    other than Fast DDS ignore the variables."""
    if not any(os.environ.get(name) for name in PROFILE_VARIABLES):
        os.environ.update(fastdds_environment())


def _fitting_profile() -> Path:
    if not SHARED_MEMORY.is_dir():
        return shipped_config("fastdds.xml")
    free_mb = shutil.disk_usage(SHARED_MEMORY).free / 2**20
    if free_mb < LEAST_MB:
        print(
            f"warning: {SHARED_MEMORY} has {free_mb:.0f} MB free, needs {LEAST_MB} MB a process: clouds will be lost; "
            "give a container more, --shm-size=512m",
            file=sys.stderr,
        )
    return shipped_config("fastdds.xml" if free_mb >= ENOUGH_MB else "fastdds_small.xml")
