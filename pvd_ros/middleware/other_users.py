"""Shared memory of other users in /dev/shm, over which Fast DDS delivers nothing."""

from __future__ import annotations

import os
import pwd
from contextlib import suppress
from pathlib import Path

from pvd_ros.middleware.stale_segments import SHARED_MEMORY


def other_users_memory(middleware: str, folder: Path = SHARED_MEMORY) -> str:
    """A sentence on the files of Fast DDS in `folder` that belong to other users than this process's, with what to do;
    "" if there are none or `middleware`, as rclpy names it, is another. Only the owner can write to these files, so
    that a publisher of another user is discovered but cannot deliver."""
    own = os.geteuid()
    others = sorted(_owners(folder) - {own}) if "fastrtps" in middleware else []
    if not others:
        return ""
    whose = " and ".join(map(_user, others))
    return (
        f"{folder} also holds memory of Fast DDS of {whose}, this node runs as {_user(own)}, and Fast DDS delivers "
        "over it only between processes of one user: run both as the same one (in a container --user), or the "
        "publisher over UDP (docs/ros2.md, Middleware settings)"
    )


def _owners(folder: Path) -> set[int]:
    owners = set()
    for path in folder.glob("fastrtps_*"):
        with suppress(OSError):  # its process has ended meanwhile
            owners.add(path.stat().st_uid)
    return owners


def _user(uid: int) -> str:
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:  # of the host, seen from a container
        return f"uid {uid}"
