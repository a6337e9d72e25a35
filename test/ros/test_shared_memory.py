"""Nothing stays behind in /dev/shm: a node's 64 MB there would be lost until the machine starts anew."""

import os
import re
import signal
from pathlib import Path

import pytest

from pvd_ros.middleware import stale_segments
from pvd_ros.middleware.other_users import other_users_memory
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


@pytest.fixture
def memory_of_others(tmp_path, monkeypatch):
    """Files as Fast DDS makes them, of this user; another one, nobody by number, looks at them."""
    for name in ("fastrtps_port7411", "fastrtps_0123456789abcdef", "fastrtps_0123456789abcdef_el"):
        (tmp_path / name).touch()
    own = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: 123_456)
    return own


def test_shared_memory_of_another_user_is_named_with_both_users_and_what_to_do(tmp_path, memory_of_others):
    said = other_users_memory("rmw_fastrtps_cpp", tmp_path)
    assert f"(uid {memory_of_others}), this node runs as uid 123456, " in said
    assert "run both as the same one" in said
    assert "UDP" in said
    assert other_users_memory("rmw_cyclonedds_cpp", tmp_path) == ""


def test_shared_memory_of_ones_own_is_no_reason(tmp_path):
    (tmp_path / "fastrtps_port7411").touch()
    (tmp_path / "of_another_program").touch()
    assert other_users_memory("rmw_fastrtps_cpp", tmp_path) == ""
    assert other_users_memory("rmw_fastrtps_cpp", tmp_path / "missing") == ""
