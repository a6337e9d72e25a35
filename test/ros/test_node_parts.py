"""The parts of the node that need no ROS: mailbox, counters, gaps, health and the worker."""

import subprocess
import sys
import threading

import numpy as np
import pytest
from pose_messages import drive_clouds, odometry_rows
from ros_clouds import factor_said, rosbags_cloud, slow_column, xyzi_cloud
from ros_processes import wait_until
from ros_weights import tiny_weights, tiny_weights_with_time

from pvd_core.borders.errors import UserError
from pvd_core.clouds.example import spinning_scan
from pvd_core.clouds.history import PastScans
from pvd_core.clouds.judge import MOUNTING_SETTINGS, parameters
from pvd_core.clouds.stream import CloudStream
from pvd_core.segmenter import Segmenter
from pvd_ros.bags import BagWriter
from pvd_ros.bags.types import rosbags_cloud_types
from pvd_ros.codec import stamp_of
from pvd_ros.labeller import CloudLabeller
from pvd_ros.node.mailbox import LatestMailbox
from pvd_ros.node.parameters import weights_in
from pvd_ros.node.worker import LabellingWorker
from pvd_ros.poses import CloudHistory, OdometryPoses, PoseLimits
from pvd_ros.report.counters import CloudCounters
from pvd_ros.report.health import ERROR, OK, WARN, judge
from pvd_ros.report.latency import LatencyWindow
from pvd_ros.report.missing import StampGaps

NOW_NS = 10**18


def test_a_mailbox_keeps_the_newest_and_says_what_it_threw_away():
    mailbox = LatestMailbox()
    assert [mailbox.put(item) for item in (1, 2, 3)] == [False, True, True]
    assert mailbox.take() == [3]
    assert mailbox.put(4) is False


def test_a_mailbox_gives_with_the_newest_the_last_ones_that_it_replaced():
    mailbox = LatestMailbox(num_replaced=2)
    assert [mailbox.put(item) for item in (1, 2, 3, 4)] == [False, True, True, True]
    assert mailbox.take() == [2, 3, 4]
    assert mailbox.put(5) is False
    assert mailbox.take() == [5]


def test_a_closed_mailbox_gives_its_last_item_and_then_none():
    mailbox = LatestMailbox()
    mailbox.put("last")
    mailbox.close()
    assert (mailbox.take(), mailbox.take()) == (["last"], [])


def test_take_waits_for_the_next_item():
    mailbox, taken = LatestMailbox(), []
    thread = threading.Thread(target=lambda: taken.append(mailbox.take()))
    thread.start()
    mailbox.put("item")
    thread.join(10)
    assert taken == [["item"]]


def missing(stamps_ms):
    gaps = StampGaps()
    return [gaps.missing_before(NOW_NS + round(stamp * 1e6)) for stamp in stamps_ms]


def test_gaps_are_counted_from_the_usual_spacing_of_stamps():
    jitter = [0, 98, 203, 301, 400, 499, 602]
    assert missing([*jitter, 700, 1000, 1100]) == [0] * 8 + [2, 0]


@pytest.mark.parametrize("odd", [[3600_000], [100], [600]])
def test_pauses_and_stamps_that_do_not_advance_are_no_gaps(odd):
    assert sum(missing([0, 100, 200, 300, 400, 500, 600, *odd])) == 0


def health_of(problems=(), remarks=(), p90=10.0, **since):
    return judge({}, CloudCounters().as_numbers() | since, p90, 100.0, 1000.0, list(problems), list(remarks))


@pytest.mark.parametrize(
    ("level", "words", "facts"),
    [
        (OK, "no clouds arrive", {}),
        (OK, "labelling", {"labelled": 3}),
        (OK, "nobody subscribes", {"skipped": 3}),
        (WARN, "2 clouds dropped", {"dropped": 2}),
        (WARN, "1 malformed", {"rejected": 1}),
        (WARN, "4 clouds lost", {"lost": 4}),
        (WARN, "latency_warn_ms = 100", {"p90": 150.0}),
        (ERROR, "latency_error_ms = 1000", {"p90": 1500.0}),
        (ERROR, "failed inside the node", {"rejected_internal_error": 1}),
        (ERROR, "another type", {"problems": ["another type"]}),
        (WARN, "no intensity", {"remarks": ["no intensity"]}),
    ],
)
def test_health_says_what_is_wrong(level, words, facts):
    health = health_of(**facts)
    assert health.level == level
    assert words in health.message


def test_health_looks_at_what_is_new_since_the_last_report():
    counts = CloudCounters(received=5, labelled=3, dropped=2).as_numbers()
    assert judge(counts, counts | {"labelled": 4}, 10.0, 100.0, 1000.0, [], []).level == OK


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    return Segmenter.from_weights(tiny_weights(tmp_path_factory.mktemp("weights")), device="cpu")


SETTINGS = ("intensity_scale", "intensity_field", *MOUNTING_SETTINGS)


class Bench:
    """A worker over a real segmenter, with its outputs in lists."""

    def __init__(self, segmenter, is_wanted=lambda: True, publish=None, history=None, is_due=lambda: True):
        self.counters, self.window = CloudCounters(), LatencyWindow()
        self.published, self.logged = [], []
        self.worker = LabellingWorker(
            CloudLabeller(
                segmenter, rosbags_cloud_types(), CloudStream(wording=parameters(*SETTINGS)), history=history
            ),
            self.counters,
            self.window,
            publish=publish or (lambda labelled: self.published.append(labelled.message)),
            after_publish=lambda labelled, timings_ms: None,
            is_wanted=is_wanted,
            is_due=is_due,
            now_ns=lambda: NOW_NS,
            log=lambda level, text: self.logged.append((level, text)),
        )

    def work_through(self, *messages):
        for message in messages:
            self.do(message)
        self.worker.stop()

    def do(self, message):
        before = self.done()
        self.worker.offer(message)
        wait_until(lambda: self.done() > before, pause_s=0.0005)

    def done(self):
        return self.counters.labelled + self.counters.skipped + sum(self.counters.rejected.values())


def points_of(seed, count=200):
    generator = np.random.default_rng(seed)
    return generator.uniform((-20, -20, -2, 0), (20, 20, 2, 1), (count, 4)).astype(np.float32)


def test_a_worker_outlives_malformed_clouds_and_labels_the_next(segmenter):
    bench = Bench(segmenter)
    bad = rosbags_cloud(fields=[("x", 0, 7, 1)], data=bytes(16))
    bench.work_through(bad, xyzi_cloud(points_of(1)), bad)
    assert dict(bench.counters.rejected) == {"missing_xyz": 2}
    np.testing.assert_array_equal(slow_column(bench.published[0], "label"), segmenter.segment(points_of(1)).labels)


def test_one_log_line_a_cause_and_power_of_ten(segmenter):
    bench = Bench(segmenter)
    bench.work_through(*[rosbags_cloud(fields=[("x", 0, 7, 1)], data=bytes(16))] * 25)
    assert [text.rsplit("(", 1)[1] for _, text in bench.logged] == ["number 1 of this kind)", "number 10 of this kind)"]


def test_a_failure_inside_is_counted_and_logged_with_its_traceback_and_the_node_goes_on(segmenter):
    calls = []

    def publish(labelled):
        calls.append(labelled)
        if len(calls) == 1:
            raise RuntimeError("the middleware refused")

    bench = Bench(segmenter, publish=publish)
    bench.work_through(xyzi_cloud(points_of(1)), xyzi_cloud(points_of(2)))
    assert dict(bench.counters.rejected) == {"internal_error": 1}
    assert bench.counters.labelled == 1
    assert "the middleware refused" in bench.logged[0][1]


def test_nothing_is_labelled_while_nobody_listens(segmenter):
    bench = Bench(segmenter, is_wanted=lambda: False)
    bench.work_through(xyzi_cloud(points_of(1)))
    assert (bench.counters.skipped, bench.counters.labelled, bench.published) == (1, 0, [])


def test_a_stamp_of_another_clock_is_counted_instead_of_measured(segmenter):
    bench = Bench(segmenter)
    old, none, future, now = 10**15, 0, NOW_NS + 10**9, NOW_NS - 50_000_000
    bench.work_through(*[xyzi_cloud(points_of(1), stamp_ns=stamp) for stamp in (old, none, future, now)])
    assert bench.counters.foreign_stamps == 3
    assert bench.window.percentiles()["stamp_to_publish"]["p50"] == pytest.approx(50)


def test_an_intensity_whose_scale_is_certain_is_scaled_and_said_once(segmenter):
    bench, loud = Bench(segmenter), spinning_scan(24_000)
    loud[:, 3] = np.rint(loud[:, 3] * 255)
    bench.work_through(xyzi_cloud(loud), xyzi_cloud(loud))
    assert [level for level, _ in bench.logged] == ["info"]
    factor = factor_said(bench.logged[0][1])
    assert np.percentile(loud[:, 3], 95) * factor == pytest.approx(0.4, rel=0.05)
    assert bench.worker.remarks == []
    expected = segmenter.segment(loud * np.float32([1, 1, 1, factor])).labels
    for message in bench.published:
        assert (np.array(slow_column(message, "label")) == expected).mean() > 0.999
        np.testing.assert_array_equal(slow_column(message, "intensity"), loud[:, 3])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda points: points * np.float32([1, 1, 1, 1e5]), "perhaps set intensity_scale to 4"),
        (lambda points: points * np.float32([1, 1, 1, 0]), "the cloud is labelled as one without intensity"),
        (lambda points: points + np.float32([0, 0, 0.9, 0]), "set mounting_height to 0."),
    ],
)
def test_what_is_not_as_networks_expect_it_is_said_once_and_stays_in_the_diagnostics(segmenter, change, words):
    bench = Bench(segmenter)
    cloud = xyzi_cloud(change(spinning_scan(24_000)))
    bench.work_through(cloud, cloud, cloud)
    assert [level for level, _ in bench.logged] == ["warning"]
    assert words in bench.logged[0][1]
    assert bench.worker.remarks == [bench.logged[0][1]]


def test_the_same_sentence_is_said_once_whatever_the_frame(segmenter):
    bench, clouds = Bench(segmenter), [xyzi_cloud(points_of(0, 0)) for _ in range(2)]
    clouds[1].header.frame_id = "roof"
    bench.work_through(*clouds)
    assert [text for _, text in bench.logged] == ["the cloud has no points: look at the sensor and its driver"]


def test_a_cloud_without_an_intensity_field_is_remarked_on(segmenter):
    bench, data = Bench(segmenter), spinning_scan(24_000)[:, :3].tobytes()
    bench.work_through(rosbags_cloud(fields=[("x", 0, 7, 1), ("y", 4, 7, 1), ("z", 8, 7, 1)], data=data, point_step=12))
    assert "as where there is none" in bench.worker.remarks[0]


def test_under_overload_every_cloud_is_accounted_for_and_the_last_is_labelled(segmenter):
    bench = Bench(segmenter)
    clouds = [xyzi_cloud(points_of(seed, 3000), stamp_ns=seed) for seed in range(50)]
    for cloud in clouds:
        bench.counters.received += 1
        bench.counters.dropped += bench.worker.offer(cloud)
    bench.worker.stop()
    assert bench.counters.dropped > 0
    assert bench.counters.received == bench.counters.labelled + bench.counters.dropped
    assert stamp_of(bench.published[-1]) == 49


@pytest.mark.parametrize(
    "call", ["node.main(['--help'])", "play.main(['{bag}'])", "record.main(['{new}', '--topic', '/lidar'])"]
)
def test_without_rclpy_the_error_names_the_extra_to_install(tmp_path, project_root, call):
    with BagWriter(tmp_path / "in") as bag:
        bag.write_cloud("/lidar", xyzi_cloud(points_of(1)))
    call = call.format(bag=tmp_path / "in", new=tmp_path / "new")
    code = f"import sys; sys.modules['rclpy'] = None; from pvd_ros import node, play, record; sys.exit({call})"
    ended = subprocess.run([sys.executable, "-c", code], cwd=project_root, capture_output=True, text=True)
    assert ended.returncode == 2
    assert "pip install 'pvd_ros[ros]'" in ended.stderr
    assert "Traceback" not in ended.stderr


def history_by_truth():
    source = OdometryPoses("/odom", PoseLimits())
    for _, _, message in odometry_rows(0.7):
        source.add(message)
    return CloudHistory(PastScans(2, time=True), source)


@pytest.fixture(scope="module")
def timed(tmp_path_factory):
    return Segmenter.from_weights(tiny_weights_with_time(tmp_path_factory.mktemp("weights")), device="cpu")


@pytest.fixture(scope="module")
def last_of_all(timed):
    """Of five clouds that were all labelled the last one."""
    bench = Bench(timed, history=history_by_truth())
    bench.work_through(*drive_clouds(5))
    return bench.published[-1]


def test_clouds_that_come_too_soon_to_be_labelled_are_past_ones_of_the_next(timed, last_of_all):
    due = iter([True, False, False, False, True])
    bench = Bench(timed, history=history_by_truth(), is_due=lambda: next(due))
    bench.work_through(*drive_clouds(5))
    assert bench.counters.rate_limited == 3
    assert bytes(bench.published[-1].data) == bytes(last_of_all.data)


def test_clouds_that_newer_ones_replace_are_past_ones_of_the_next(timed, last_of_all):
    is_busy, may_go_on = threading.Event(), threading.Event()

    def publish(labelled):
        bench.published.append(labelled.message)
        is_busy.set()
        may_go_on.wait()

    bench = Bench(timed, history=history_by_truth(), publish=publish)
    first, *others = drive_clouds(5)
    malformed = rosbags_cloud(fields=[("x", 0, 7, 1)], data=bytes(16))
    bench.worker.offer(first)
    is_busy.wait()
    assert [bench.worker.offer(message) for message in (malformed, *others)] == [False, True, True, True, True]
    may_go_on.set()
    bench.worker.stop()
    assert len(bench.published) == 2
    assert bytes(bench.published[-1].data) == bytes(last_of_all.data)
    assert not sum(bench.counters.rejected.values())


def test_weights_are_parted_at_commas_unless_a_file_has_one_in_its_name(tmp_path):
    path = tmp_path / "a,b.safetensors"
    assert weights_in(str(path)) == [f"{tmp_path}/a", "b.safetensors"]
    path.touch()
    assert weights_in(str(path)) == [str(path)]
    assert weights_in("default, cylinder3d-0.5x") == ["default", "cylinder3d-0.5x"]
    assert weights_in("") == []
    for value in (" ", ",", "default,,cylinder3d"):
        with pytest.raises(UserError, match="a name is missing"):
            weights_in(value)
