"""Nothing stays behind in /dev/shm: a node's 64 MB there would be lost until the machine starts anew."""

import os
import re
import signal
from pathlib import Path

import pytest

from pvd_ros.middleware import stale_segments
from pvd_ros.middleware.stale_segments import remove_stale_segments

pytest.importorskip("rclpy")
NODE = "pvd_ros.node"


def segments_of(process):
    """Files of the shared memory that a running process has made for itself: it keeps their locks open."""
    opened = [os.readlink(link) for link in Path(f"/proc/{process.pid}/fd").iterdir()]
    own = [
        Path(name.removesuffix("_el")) for name in opened if re.fullmatch(r"/dev/shm/fastrtps_[0-9a-f]{16}_el", name)
    ]
    assert own, "the node has no shared memory: this test would not see what it leaves"
    assert all(path.exists() for path in own)
    return own


def running_node(ros):
    return ros.fork(NODE, ready="labelling /")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_node_that_ends_leaves_no_shared_memory(ros, number):
    node = running_node(ros)
    segments = segments_of(node)
    assert node.stop(number) == 0
    assert not [path for path in segments if path.exists()]


def test_shared_memory_of_a_killed_node_is_removed_and_that_of_a_running_one_kept(ros, monkeypatch):
    killed, running = running_node(ros), running_node(ros)
    left, used = segments_of(killed), segments_of(running)
    killed.stop(signal.SIGKILL)
    assert all(path.exists() for path in left)
    monkeypatch.setattr(stale_segments, "YOUNGEST_S", 0.0)
    assert remove_stale_segments() >= len(left)
    assert not [path for path in left if path.exists()]
    assert all(path.exists() for path in used)


def test_a_lock_that_was_made_just_now_is_left_to_its_process(tmp_path):
    lock, segment = tmp_path / "fastrtps_0123456789abcdef_el", tmp_path / "fastrtps_0123456789abcdef"
    lock.touch()
    segment.touch()
    assert remove_stale_segments(tmp_path) == 0
    os.utime(lock, (0, 0))
    assert remove_stale_segments(tmp_path) == 1
    assert list(tmp_path.iterdir()) == []
