"""Settings of Fast DDS and Cyclone DDS that deliver clouds of some megabytes; see config/fastdds.xml and
config/cyclonedds.xml."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from pvd_core.borders.shipped_config import shipped_config
from pvd_ros.middleware.stale_segments import SHARED_MEMORY

# Fast DDS 2 (Humble, Jazzy) reads the first name, Fast DDS 3 (Kilted) the second.
PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
CYCLONE_VARIABLE = "CYCLONEDDS_URI"

# Room for the shared-memory segments of five processes with fastdds.xml, and of one with fastdds_small.xml. A process
# that has no room for its segment uses UDP, by which 11 of 40 clouds of 2 MB arrived.
ENOUGH_MB = 5 * 64
LEAST_MB = 12

RECEIVE_LIMIT = Path("/proc/sys/net/core/rmem_max")
# Holds one cloud of 2 MB with what the kernel adds to each packet.
LEAST_RECEIVE_BYTES = 4_000_000
WANTED_RECEIVE_BYTES = 16_777_216


def shipped_settings() -> dict[str, str]:
    """Environment variables by which a process takes the shipped settings that fit this machine, of the middlewares for
    which the user chose none. Prints a warning where this machine is too small for them. UserError if a file of
    settings is not installed."""
    uses_cyclone = "cyclonedds" in os.environ.get("RMW_IMPLEMENTATION", "")
    settings: dict[str, str] = {}
    if not any(os.environ.get(name) for name in PROFILE_VARIABLES):
        settings |= fastdds_environment(warns=not uses_cyclone)
    if not os.environ.get(CYCLONE_VARIABLE):
        settings[CYCLONE_VARIABLE] = f"file://{shipped_config('cyclonedds.xml')}"
    if uses_cyclone and (warning := small_receive_buffer()):
        print(f"warning: {warning}", file=sys.stderr)
    return settings


def fastdds_environment(warns: bool = True) -> dict[str, str]:
    """Environment variables by which a process takes the shipped Fast DDS profile that fits this machine.

    Prints a warning where shared memory is too small for either. UserError if the profile is not installed.
    """
    return dict.fromkeys(PROFILE_VARIABLES, str(_fitting_profile(warns)))


def use_shipped_settings() -> None:
    """Sets the variables of `shipped_settings` in this process. Call it before rclpy.init."""
    os.environ.update(shipped_settings())


def small_receive_buffer() -> str:
    """A sentence that says how to raise the kernel's limit of receive buffers if it is too small for clouds over UDP,
    as Cyclone DDS sends them; else ""."""
    if not RECEIVE_LIMIT.is_file() or (limit := int(RECEIVE_LIMIT.read_text())) >= LEAST_RECEIVE_BYTES:
        return ""
    return (
        f"net.core.rmem_max is {limit}, Cyclone DDS needs {LEAST_RECEIVE_BYTES} to receive clouds of 2 MB: "
        f"sudo sysctl -w net.core.rmem_max={WANTED_RECEIVE_BYTES}"
    )


def remedy_for_losses(middleware: str) -> str:
    """What to do where clouds get lost on the way to the node. middleware: as rclpy names it, "rmw_fastrtps_cpp"."""
    if "cyclonedds" in middleware:
        settings = f"{CYCLONE_VARIABLE}=file://{shipped_config('cyclonedds.xml')}"
    elif "fastrtps" in middleware:
        settings = f"{PROFILE_VARIABLES[0]}={_fitting_profile(warns=False)}"
    else:
        settings = f"room for clouds of some megabytes in {middleware}"
    steps = [f"start their publisher with {settings}", "set input_reliability to reliable if it publishes so"]
    if "cyclonedds" in middleware and (too_small := small_receive_buffer()):
        steps.insert(0, too_small)
    return "; or ".join([*steps, "raise input_depth"])


def _fitting_profile(warns: bool) -> Path:
    if not SHARED_MEMORY.is_dir():
        return shipped_config("fastdds.xml")
    free_mb = shutil.disk_usage(SHARED_MEMORY).free / 2**20
    if warns and free_mb < LEAST_MB:
        print(
            f"warning: {SHARED_MEMORY} has {free_mb:.0f} MB free, needs {LEAST_MB} MB a process: clouds will be lost; "
            "give a container more, --shm-size=512m",
            file=sys.stderr,
        )
    return shipped_config("fastdds.xml" if free_mb >= ENOUGH_MB else "fastdds_small.xml")
