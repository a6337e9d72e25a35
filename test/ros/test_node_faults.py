"""What must not end the node, or not without its counts: impossible transitions, its own faults, early signals."""

import json

import pytest
from ros_weights import tiny_weights

pytest.importorskip("rclpy", reason="needs rclpy: pip install 'pvd_ros[ros]' or source a ROS 2")

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from test_node_cycles import Manager, cloud_at

IMPOSSIBLE = {
    "unconfigured": (Transition.TRANSITION_ACTIVATE, Transition.TRANSITION_ACTIVE_SHUTDOWN, 99),
    "active": (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE, Transition.TRANSITION_DESTROY),
}


def test_a_transition_that_the_state_does_not_have_is_refused_and_the_node_goes_on(ros, peer):
    manager = Manager(ros, peer)

    def expect_refused(state):
        for number in IMPOSSIBLE[state]:
            request = ChangeState.Request(transition=Transition(id=number))
            assert not peer.call(ChangeState, "/segmenter/change_state", request).success
            assert peer.call(GetState, "/segmenter/get_state", GetState.Request()).current_state.label == state

    expect_refused("unconfigured")
    manager.node.wait_for_text(f"lifecycle transition {Transition.TRANSITION_ACTIVATE} refused, the state stays")
    assert manager.change("configure")
    assert manager.change("activate")
    manager.answer_to(cloud_at(1000))
    expect_refused("active")
    manager.answer_to(cloud_at(1001))
    assert manager.node.stop() == 0
    assert "Traceback" not in manager.node.text()


@pytest.mark.parametrize("method", ["_load_segmenter", "_report"])
def test_a_fault_of_the_node_ends_it_with_its_counts_its_report_and_one_line(ros, method):
    """In what happens at start, and in what a timer calls."""
    ros.environment["FAILING_METHOD"] = method
    report, weights = ros.folder / "report.json", tiny_weights(ros.folder)
    words = [f"report_path:={report}", f"weights:={weights}", "device:=cpu"]
    node = ros.fork("failing_node", "--ros-args", *(each for word in words for each in ("-p", word)))
    assert node.wait() == 1
    assert json.loads(report.read_text())["clouds"]["received"] == 0
    lines = node.text().splitlines()
    assert "segmenter_node: ends by an internal error, ZeroDivisionError: on purpose" in lines
    assert any("clouds: received 0" in line for line in lines)
    assert node.text().count("Traceback") == 1


def test_a_node_that_started_itself_says_why_a_later_transition_fails(ros, peer):
    manager = Manager(ros, peer, autostart="true")
    manager.answer_to(cloud_at(1000))
    assert manager.change("deactivate")
    assert manager.change("cleanup")
    manager.weights.unlink()
    assert not manager.change("configure")
    manager.node.wait_for_text("tiny.safetensors: does not exist")
    assert manager.node.stop() == 0


def test_a_signal_while_the_network_loads_ends_the_node_before_the_next_step(ros):
    report = ros.folder / "report.json"
    node = ros.fork("ended_node", "--ros-args", "-p", f"report_path:={report}")
    assert node.wait() == 0
    assert json.loads(report.read_text())["clouds"]["received"] == 0
    assert "segmenter_node: ending, after what is in work" in node.text()
    assert "goes on loading" not in node.text()
