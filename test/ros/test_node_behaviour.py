"""The node as a process: start-up errors, parameters, lifecycle, status messages, and what it says about its input."""

import json
import signal
import time

import numpy as np
import pytest
from multiscan_weights import save_multiscan_weights
from ros_clouds import rclpy_cloud, slow_column, xyzi_cloud
from ros_nodes import start_node
from ros_weights import tiny_weights

pytest.importorskip("rclpy", reason="needs rclpy: pip install 'pvd_ros[ros]' or source a ROS 2")

from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import DescribeParameters, SetParameters
from rclpy.parameter import Parameter
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Float64MultiArray, String
from visualization_msgs.msg import MarkerArray

from pvd_core.clouds.example import spinning_scan
from pvd_core.taxonomy import SEMANTICKITTI, SEMANTICKITTI_MULTISCAN
from pvd_ros.middleware.ros_session import qos_profile
from pvd_ros.node.parameters import SPECS
from pvd_ros.report.latency import STAGES


def cloud(seed=0, stamp_ns=None):
    generator = np.random.default_rng(seed)
    points = generator.uniform((-20, -20, -2, 0), (20, 20, 2, 1), (500, 4)).astype(np.float32)
    return xyzi_cloud(points, stamp_ns or time.time_ns(), "roof", build=rclpy_cloud)


def publish_until(peer, condition, topic="/lidar"):
    publisher = peer.node.create_publisher(PointCloud2, topic, qos_profile(False, 1))

    def sent():
        publisher.publish(cloud())
        return condition()

    peer.spin_until(sent)


def values_of(message, name):
    return [{item.key: item.value for item in status.values} for status in message.status if status.name == name]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-p", "weights:=/nowhere/w.safetensors"], "/nowhere/w.safetensors: does not exist"),
        (["-p", "weights:=default,"], "parameter weights is 'default,': a name is missing; several have commas"),
        (["-p", "weights:=default, default"], "weights default and default are the same: name each network once"),
        (["-p", "wieghts:=w"], "unknown parameter wieghts; did you mean weights?"),
        (["-p", "latency_error_ms:=7"], "parameter latency_error_ms must be a float (write 7.0, not 7)"),
        (["-p", "weights:=[default, cylinder3d-0.5x]"], "must be a str (write 'default, cylinder3d-0.5x')"),
        (["-p", "mounting_height:=low"], "parameter mounting_height must be a float, such as 1.73"),
        (["-p", "intensity_scale:=automatic"], "expected one of: auto, or a number in 0..1e+06"),
        (["-p", "intensity_scale:=-1"], "intensity_scale is -1, expected one of: auto, or a number in 0..1e+06"),
        (["-p", "intensity_scale:=true"], "intensity_scale is true, expected one of: auto, or a number"),
        (["-p", "mounting_pitch:=400.0"], "mounting_pitch must lie in -360..360"),
        (["-p", "intensity_scale:=.nan"], "intensity_scale is nan, expected one of: auto, or a number"),
        (["-p", "mounting_height:=.nan"], "mounting_height must lie in -100..100"),
        (["-p", "latency_warn_ms:=-1.0"], "must lie in 0..1e+06"),
        (["-p", "input_reliability:=often"], "expected one of: best_effort, reliable"),
        (["-p", "points_in:=no topic"], "points_in is no topic name"),
        (["-p", "points_in:=/segmenter/points"], "points_in is /segmenter/points, an output of this node"),
        (["-r", "/velodyne_points:=/segmenter/static"], "points_in is /segmenter/static, an output of this node"),
        (["-p", "report_path:=/proc/report.json"], "parameter report_path: cannot write /proc/report.json"),
        (["-p", "report_path:=/nowhere/r.json"], "there is no folder /nowhere"),
        (["-p", "latency_warn_ms:=2000.0"], "latency_warn_ms is 2000, above latency_error_ms = 1000"),
        (["-p", "intensity_field:=x"], "intensity field 'x' is a coordinate"),
        (["-p", "device:=tpu"], "expected auto, cpu, cuda or cuda:N"),
        (["--params-file", "/nowhere.yaml"], "parameter file /nowhere.yaml: No such file"),
    ],
)
def test_a_mistake_at_start_is_one_clear_message_and_exit_code_2(ros, arguments, words):
    node = ros.fork("pvd_ros.node", "--ros-args", "-p", f"report_path:={ros.folder / 'r'}", *arguments)
    assert node.wait() == 2
    assert words in node.text()
    assert "Traceback" not in node.text()
    assert len(node.text().strip().splitlines()) == 1


def test_the_help_keeps_defaults_and_descriptions_apart(ros):
    node = ros.fork("pvd_ros.node", "--help")
    assert node.wait() == 0
    for spec in SPECS:
        assert f"{spec.default!r} " in node.text(), spec.name


def test_weights_that_are_no_weights_are_refused_by_name(ros):
    (ros.folder / "bad.safetensors").write_bytes(b"not weights")
    node = ros.fork("pvd_ros.node", "--ros-args", "-p", f"weights:={ros.folder / 'bad.safetensors'}")
    assert node.wait() == 2
    assert "bad.safetensors" in node.text()
    assert "Traceback" not in node.text()


def test_the_shipped_parameter_file_starts_the_node(ros, project_root):
    arguments = ["--params-file", project_root / "config/node.yaml", "-p", f"weights:={tiny_weights(ros.folder)}"]
    node = ros.start(
        "pvd_ros.node", "--ros-args", *arguments, ready="labelling /velodyne_points onto /segmenter/points"
    )
    assert node.stop() == 0


def test_a_cloud_in_another_frame_is_said_in_log_and_diagnostics_until_the_mounting_is_told(ros, peer):
    node = start_node(ros, "always_label:=true")
    diagnostics, publisher = (
        peer.hear(DiagnosticArray, "/diagnostics"),
        peer.node.create_publisher(PointCloud2, "/lidar", 1),
    )
    points = spinning_scan(24_000)
    points[:, 2] += 1.3  # as of a sensor 0.4 m above the ground
    points[:, 3] = np.rint(points[:, 3] * 255)

    def health(words, is_there):
        publisher.publish(xyzi_cloud(points, time.time_ns(), build=rclpy_cloud))
        status = diagnostics[-1].status[0] if diagnostics else None
        return status and status.message and (words in status.message) == is_there and "no clouds" not in status.message

    remark = "below the cloud's origin, expected 1.73 m: set mounting_height to 0.4"
    peer.spin_until(lambda: health(remark, True))
    node.wait_for_text(remark)
    node.wait_for_text(", which intensity scale auto chose")
    factor = float(values_of(diagnostics[-1], "/segmenter: labelling")[0]["intensity_scale"])
    assert np.percentile(points[:, 3], 95) * factor == pytest.approx(0.4, rel=0.05)
    request = SetParameters.Request(parameters=[Parameter("mounting_height", value=0.4).to_parameter_msg()])
    assert peer.call(SetParameters, "/segmenter/set_parameters", request).results[0].successful
    peer.spin_until(lambda: health(remark, False))
    assert node.stop() == 0
    assert node.text().count("which intensity scale auto chose") == 1, "the mounting does not change intensities"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_node_in_order_with_its_report(ros, number):
    node = start_node(ros, f"report_path:={ros.folder / 'report.json'}")
    assert node.stop(number) == 0
    assert "Traceback" not in node.text()
    assert json.loads((ros.folder / "report.json").read_text())["clouds"]["received"] == 0


def test_latency_percentiles_diagnostics_and_legend_are_published(ros, peer):
    labelled = peer.hear(PointCloud2, "/segmenter/points")
    latency = peer.hear(DiagnosticArray, "/segmenter/latency")
    table = peer.hear(Float64MultiArray, "/segmenter/latency_window")
    diagnostics = peer.hear(DiagnosticArray, "/diagnostics")
    start_node(ros)

    def facts():
        found = [values for message in diagnostics for values in values_of(message, "/segmenter: labelling")]
        return found[-1] if found else {}

    publish_until(peer, lambda: latency and table and labelled and "total_p90_ms" in facts())
    late_legend = peer.hear(MarkerArray, "/segmenter/legend", latched=True)
    peer.spin_until(lambda: late_legend)

    stages = values_of(latency[0], "/segmenter: latency")[0]
    # Which are for GPUs, and for clouds with past ones behind them.
    expected = [stage for stage in STAGES if stage not in ("program", "history")]
    assert list(stages) == expected
    assert latency[0].header.frame_id == "roof"
    assert latency[0].header.stamp in [output.header.stamp for output in labelled]
    assert 0 < float(stages["network"]) < float(stages["total"]) <= float(stages["stamp_to_publish"])
    rows, columns = table[-1].layout.dim
    assert (rows.label, rows.size) == (f"stage: {', '.join(expected)}", len(expected))
    assert (columns.label, columns.size) == ("percentile: p50, p90, p99", 3)
    assert len(table[-1].data) == 3 * len(expected)
    assert {"received", "labelled", "dropped", "rejected", "total_p90_ms", "stamp_to_publish_p99_ms"} <= facts().keys()
    assert facts()["backend_fallbacks"] == "0"
    markers = late_legend[0].markers
    assert [marker.text for marker in markers] == [f"{i} {SEMANTICKITTI.names[i]}" for i in range(1, 20)]
    assert {marker.header.frame_id for marker in markers} == {"roof"}
    assert [round(255 * markers[0].color.r), round(255 * markers[0].color.b)] == SEMANTICKITTI.colours[1][
        [0, 2]
    ].tolist()


def test_labels_and_legend_are_those_of_the_taxonomy_in_the_weights(ros, peer):
    weights = save_multiscan_weights(ros.folder / "multiscan.safetensors")
    labelled = peer.hear(PointCloud2, "/segmenter/points")
    legend = peer.hear(MarkerArray, "/segmenter/legend", latched=True)
    start_node(ros, f"weights:={weights}")
    publish_until(peer, lambda: labelled and legend)

    names = SEMANTICKITTI_MULTISCAN.names
    assert [marker.text for marker in legend[0].markers] == [f"{i} {names[i]}" for i in range(1, 26)]
    assert set(slow_column(labelled[0], "label")) == {names.index("moving-car")}


def test_the_node_says_that_weights_of_many_scans_get_single_ones(ros):
    weights = save_multiscan_weights(ros.folder / "many.safetensors", past_scans=2)
    start_node(ros, f"weights:={weights}", ready="these weights expect 2 past scans behind each and get single ones")


def test_clouds_are_skipped_until_somebody_subscribes(ros, peer):
    diagnostics = peer.hear(DiagnosticArray, "/diagnostics")
    start_node(ros)

    def facts():
        found = [values for message in diagnostics for values in values_of(message, "/segmenter: labelling")]
        return found[-1] if found else {"skipped": 0, "labelled": 0}

    publish_until(peer, lambda: int(facts()["skipped"]) > 0)
    assert int(facts()["labelled"]) == 0
    labelled = peer.hear(PointCloud2, "/segmenter/points")
    publish_until(peer, lambda: labelled)


def test_a_topic_of_another_type_is_said_in_log_and_diagnostics(ros, peer):
    peer.node.create_publisher(String, "/lidar", 1)
    diagnostics = peer.hear(DiagnosticArray, "/diagnostics")
    node = start_node(ros)
    peer.spin_until(lambda: diagnostics and diagnostics[-1].status[0].level == b"\x02")
    expected = "/peer publishes /lidar as std_msgs/msg/String, expected sensor_msgs/msg/PointCloud2"
    assert expected in diagnostics[-1].status[0].message
    node.wait_for_text(expected)


def test_a_best_effort_sensor_that_a_reliable_node_cannot_hear_is_said(ros, peer):
    peer.node.create_publisher(PointCloud2, "/lidar", qos_profile(False, 1))
    diagnostics = peer.hear(DiagnosticArray, "/diagnostics")
    node = start_node(ros, "input_reliability:=reliable")
    peer.spin_until(lambda: diagnostics and diagnostics[-1].status[0].level == b"\x02")
    assert "input_reliability" in diagnostics[-1].status[0].message
    node.wait_for_text("incompatible QoS (RELIABILITY")


def test_thresholds_change_at_run_time_and_the_model_does_not(ros, peer):
    node = start_node(ros)

    def set_parameter(name, value):
        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        return peer.call(SetParameters, "/segmenter/set_parameters", request).results[0]

    for scale in (0.5, 1, "0.00392157", "auto"):
        assert set_parameter("intensity_scale", scale).successful
    for scale in ("automatic", "-0.5", "nan", -0.5, 2e6, True):
        refused = set_parameter("intensity_scale", scale)
        assert not refused.successful
        assert "expected one of: auto, or a number in 0..1e+06" in refused.reason
    assert set_parameter("mounting_height", 0.4).successful
    assert not set_parameter("mounting_height", 400.0).successful
    assert not set_parameter("mounting_height", float("nan")).successful
    assert set_parameter("always_label", True).successful
    assert not set_parameter("latency_warn_ms", -5.0).successful
    assert "above latency_error_ms" in set_parameter("latency_warn_ms", 5000.0).reason
    assert set_parameter("latency_error_ms", 6000.0).successful
    assert set_parameter("latency_warn_ms", 5000.0).successful
    assert not set_parameter("weights", "other.safetensors").successful
    refused = set_parameter("mounting_hight", 1.0)
    assert "unknown parameter mounting_hight; did you mean mounting_height?" in refused.reason
    request = DescribeParameters.Request(names=[spec.name for spec in SPECS])
    described = peer.call(DescribeParameters, "/segmenter/describe_parameters", request).descriptors
    for spec, descriptor in zip(SPECS, described, strict=True):
        assert descriptor.description == spec.description
        assert descriptor.read_only == spec.read_only
        has_range = bool(descriptor.floating_point_range or descriptor.integer_range)
        assert has_range == bool(spec.limits and not spec.takes_both)
    assert node.stop() == 0


def test_a_scale_given_as_text_is_used_and_an_intensity_field_that_clouds_lack_is_refused(ros, peer):
    diagnostics = peer.hear(DiagnosticArray, "/diagnostics")
    node = start_node(ros, "intensity_scale:='0.5'", "always_label:=true")
    publish_until(
        peer, lambda: diagnostics and values_of(diagnostics[-1], "/segmenter: labelling")[0]["labelled"] > "0"
    )
    assert values_of(diagnostics[-1], "/segmenter: labelling")[0]["intensity_scale"] == "0.5"

    def set_field(name):
        parameter = Parameter("intensity_field", value=name).to_parameter_msg()
        request = SetParameters.Request(parameters=[parameter])
        return peer.call(SetParameters, "/segmenter/set_parameters", request).results[0]

    refused = set_field("nope")
    assert not refused.successful
    assert refused.reason == "parameter intensity_field is 'nope', but clouds on /lidar have: x, y, z, intensity"
    assert "'z' is a coordinate" in set_field("z").reason
    assert set_field("intensity").successful
    assert set_field("").successful
    assert node.stop() == 0


def test_a_lifecycle_manager_can_configure_activate_stop_and_start_again(ros, peer):
    node = start_node(ros, "autostart:=false", "always_label:=true", ready="")
    labelled = peer.hear(PointCloud2, "/segmenter/points")

    def change(label):
        request = ChangeState.Request()
        request.transition.label = label
        return peer.call(ChangeState, "/segmenter/change_state", request).success

    assert change("configure")
    assert change("activate")
    publish_until(peer, lambda: labelled)
    assert change("deactivate")
    labelled.clear()
    assert change("activate")
    publish_until(peer, lambda: labelled)
    assert change("deactivate")
    assert change("cleanup")
    assert node.stop() == 0
    assert "Traceback" not in node.text()


def test_weights_that_fail_under_a_lifecycle_manager_leave_the_node_up_and_say_why(ros, peer):
    node = ros.fork("pvd_ros.node", "--ros-args", "-p", "autostart:=false", "-p", "weights:=/nowhere.safetensors")
    request = ChangeState.Request()
    request.transition.label = "configure"
    assert not peer.call(ChangeState, "/segmenter/change_state", request).success
    node.wait_for_text("/nowhere.safetensors: does not exist")
    assert node.stop() == 0


def test_a_wrong_topic_name_is_said_with_the_topics_that_carry_clouds(ros, peer):
    peer.node.create_publisher(PointCloud2, "/velodyne", qos_profile(False, 1))
    diagnostics = peer.hear(DiagnosticArray, "/diagnostics")
    node = start_node(ros)
    expected = "nobody publishes /lidar; clouds are on: /velodyne"
    peer.spin_until(lambda: diagnostics and expected in diagnostics[-1].status[0].message)
    assert diagnostics[-1].status[0].level == b"\x01"
    node.wait_for_text(expected)
