"""What the node tells of its work beside latency: how often classes are found, and a line in the log."""

import numpy as np
import pytest

from pvd_core.taxonomy import SEMANTICKITTI
from pvd_ros.report.class_window import COLUMNS, WINDOW_S, ClassWindow
from pvd_ros.report.counters import CloudCounters
from pvd_ros.report.summary_line import PERIOD_S, SummaryLine

LABELS, CONFIDENCE = np.uint8([0, 1, 1, 1, 3]), np.float32([0, 0.5, 0.6, 1.0, 0.25])


def test_classes_are_counted_with_share_and_mean_confidence_points_without_a_label_left_out():
    window = ClassWindow()
    window.record(LABELS, CONFIDENCE, 4)
    window.record(LABELS, CONFIDENCE, 4)
    np.testing.assert_allclose(window.close_second(), [[6, 0.75, 0.7], [0, 0, 0], [2, 0.25, 0.25]], rtol=1e-6)


def test_a_second_leaves_the_window_after_ten():
    window = ClassWindow()
    window.record(LABELS, CONFIDENCE, 4)
    points = [table[:, 0].sum() for table in (window.close_second() for _ in range(WINDOW_S))]
    assert points == [4] * WINDOW_S
    assert window.close_second() is None
    assert window.close_second() is None
    window.record(LABELS, CONFIDENCE, 4)
    assert window.close_second()[0, 0] == 3


def test_nothing_labelled_is_no_table():
    window = ClassWindow()
    assert window.close_second() is None
    window.record(np.zeros(5, np.uint8), np.zeros(5, np.float32), 4)
    assert window.close_second() is None


def test_the_line_sums_up_what_happened_since_the_last_one():
    summary, latency = SummaryLine(), {"total": {"p50": 71.2, "p90": 84.4}}
    counters = CloudCounters(received=10, labelled=10)
    assert summary.line(counters.as_numbers(), latency, 100.0) == ""
    counters = CloudCounters(received=40, labelled=30, dropped=7, skipped=3)
    assert summary.line(counters.as_numbers(), latency, 100.0 + PERIOD_S) == (
        "10 s: received 40, labelled 30, dropped 7, rejected 0, skipped 3; total 71 / 84 ms"
    )
    latency["stamp_to_publish"] = {"p50": 78.0, "p90": 96.0}
    counters.received, counters.labelled = 45, 35
    assert summary.line(counters.as_numbers(), latency, 105.0 + PERIOD_S) == ""
    assert summary.line(counters.as_numbers(), latency, 101.0 + 2 * PERIOD_S) == (
        "11 s: received 5, labelled 5, dropped 0, rejected 0, skipped 0; total 71 / 84 ms; "
        "stamp to published 78 / 96 ms"
    )
    assert summary.line(counters.as_numbers(), latency, 200.0) == "", "nothing came"


def test_the_node_labels_for_who_only_wants_to_know_the_classes_and_sums_up_in_its_log(ros, request):
    pytest.importorskip("rclpy", reason="needs rclpy: pip install 'pvd_ros[ros]' or source a ROS 2")
    from ros_clouds import rclpy_cloud, xyzi_cloud
    from ros_nodes import start_node
    from sensor_msgs.msg import PointCloud2
    from std_msgs.msg import Float64MultiArray

    peer = request.getfixturevalue("peer")
    tables = peer.hear(Float64MultiArray, "/segmenter/classes")
    publisher = peer.node.create_publisher(PointCloud2, "/lidar", 1)
    node = start_node(ros)
    cloud = xyzi_cloud(np.random.default_rng(0).uniform(1, 9, (300, 4)).astype(np.float32), 1, build=rclpy_cloud)

    def says_all():
        publisher.publish(cloud)
        return tables and "s: received" in node.text()

    peer.spin_until(says_all)
    rows, columns = tables[-1].layout.dim
    assert (rows.label, columns.label) == (
        f"class: {', '.join(SEMANTICKITTI.names[1:])}",
        f"column: {', '.join(COLUMNS)}",
    )
    table = np.reshape(tables[-1].data, (19, 3))
    assert table[:, 0].sum() % 300 == 0
    assert table[:, 0].sum() > 0
    assert table[:, 1].sum() == pytest.approx(1)
    assert node.stop() == 0
