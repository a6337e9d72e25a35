"""What the node says about what is around it: packages, clocks, publishers and nodes of its name."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from ros_nodes import start_node
from ros_processes import ROOT
from ros_weights import tiny_weights

pytest.importorskip("rclpy", reason="needs rclpy: pip install 'pvd_ros[ros]' or source a ROS 2")

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import PointCloud2
from visualization_msgs.msg import MarkerArray

from pvd_ros.middleware.ros_session import qos_profile
from pvd_ros.node.input_watch import SILENT_S, InputWatch
from pvd_ros.node.topic_check import who_publishes


@pytest.fixture
def watch(peer):
    return InputWatch(peer.node, "/lidar", ["/segmenter/points"], wants_reliable=False, remedy="take the settings")


def run_main(project_root, absent, *arguments):
    code = f"import sys; sys.modules[{absent!r}] = None; from pvd_ros.node import main; sys.exit(main({arguments!r}))"
    return subprocess.run([sys.executable, "-c", code], cwd=project_root, capture_output=True, text=True)


def test_without_torch_the_node_says_to_activate_the_virtual_environment(project_root):
    ended = run_main(project_root, "torch")
    assert ended.returncode == 2
    assert "has no torch: activate the virtual environment" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_node_does_not_need_rosbags(project_root):
    ended = run_main(project_root, "rosbags", "--ros-args", "-p", "device:=tpu")
    assert ended.stderr == "segmenter_node: device 'tpu': expected auto, cpu, cuda or cuda:N\n"


def test_a_node_on_simulated_time_reports_although_no_clock_comes_and_says_so(ros, peer):
    diagnostics = peer.hear(DiagnosticArray, "/diagnostics")
    node = start_node(ros, "use_sim_time:=true", arguments=("-r", "__ns:=/front"))
    peer.spin_until(lambda: diagnostics and "no /clock comes" in diagnostics[-1].status[0].message)
    node.wait_for_text("use_sim_time is true, but no /clock comes")
    assert diagnostics[-1].status[0].name == "/front/segmenter: labelling"
    clock = peer.node.create_publisher(Clock, "/clock", 1)
    message = Clock()
    message.clock.sec = 1234

    def hears_the_clock():
        clock.publish(message)
        return diagnostics[-1].header.stamp.sec == 1234 and "/clock" not in diagnostics[-1].status[0].message

    peer.spin_until(hears_the_clock)
    assert node.stop() == 0


def test_two_nodes_of_one_name_are_said(peer, watch):
    def remarks():
        return " ".join(watch.look(0, 0.0)[1])

    assert "nodes are named" not in remarks()
    other = rclpy.create_node("peer", context=peer.node.context, use_global_arguments=False)
    peer.spin_until(lambda: "2 nodes are named /peer: give each a name or namespace of its own" in remarks())
    other.destroy_node()


def test_a_publisher_whose_clouds_do_not_come_is_said_with_the_remedy(peer, watch):
    publisher = peer.node.create_publisher(PointCloud2, "/lidar", qos_profile(False, 1))
    peer.spin_until(lambda: not any("nobody publishes" in remark for remark in watch.look(0, 0.0)[1]))
    assert watch.look(0, SILENT_S / 2) == ([], [])
    _, (remark,) = watch.look(0, SILENT_S)
    assert "/peer publishes /lidar, but no cloud has come for 10 s" in remark
    assert "take the settings" in remark
    assert watch.look(1, SILENT_S + 1) == ([], []), "a cloud has come"
    peer.node.destroy_publisher(publisher)


def test_a_publisher_of_another_user_is_said_with_the_cause_instead_of_the_remedy(peer, watch, monkeypatch):
    publisher = peer.node.create_publisher(PointCloud2, "/lidar", qos_profile(False, 1))
    peer.spin_until(lambda: not any("nobody publishes" in remark for remark in watch.look(0, 0.0)[1]))
    monkeypatch.setattr(os, "geteuid", lambda: 123_456)
    _, (remark,) = watch.look(0, SILENT_S)
    assert "this node runs as uid 123456" in remark
    assert "take the settings" not in remark
    peer.node.destroy_publisher(publisher)


def test_a_publisher_without_a_name_yet_is_said_in_words():
    unknown = SimpleNamespace(node_namespace="_NODE_NAMESPACE_UNKNOWN_", node_name="_NODE_NAME_UNKNOWN_")
    assert who_publishes(unknown, "/lidar") == "a publisher whose name is not known yet publishes /lidar"


def test_the_legend_is_published_for_bags_too(ros, peer):
    legend = ros.start("pvd_ros.node.legend", "--frame", "roof")
    heard = peer.hear(MarkerArray, "/segmenter/legend", latched=True)
    peer.spin_until(lambda: heard)
    assert heard[0].markers[0].header.frame_id == "roof"
    assert legend.stop() == 0


def test_the_process_leaves_right_after_its_report_without_unloading_torch(ros):
    script = ros.folder / "leaving.py"
    script.write_text("import atexit\natexit.register(print, 'unloading')\nfrom pvd_ros.node import main\nmain()\n")
    ros.environment["PYTHONPATH"] = str(ROOT)
    weights = f"weights:={tiny_weights(ros.folder)}"
    node = ros.start_script(script, "--ros-args", "-p", weights, ready="labelling")
    assert node.stop() == 0
    assert "no latency measured" in node.text()
    assert "unloading" not in node.text()
