"""The ROS 2 node: PointCloud2 in, labelled PointCloud2 out, with its latency and health. Needs rclpy.

It publishes labelled clouds, ~/latency, ~/latency_window, ~/legend (latched) and /diagnostics; see `outputs`,
`status_messages` and `legend`. It is a lifecycle node: configure loads the network and warms it up, activate subscribes
to the clouds.
"""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.utilities import get_rmw_implementation_identifier
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Float64MultiArray
from visualization_msgs.msg import MarkerArray

from pvd_core import default_weights
from pvd_core.borders.errors import UserError
from pvd_core.clouds.judge import MOUNTING_SETTINGS, parameters
from pvd_core.clouds.stream import MountedStreams
from pvd_ros.codec import check_intensity_field, rclpy_cloud_types, stamp_of
from pvd_ros.labeller import CloudLabeller, LabelledCloud
from pvd_ros.middleware.ros_session import check_topic_name, qos_profile
from pvd_ros.middleware.transport import remedy_for_losses
from pvd_ros.node.history import NodeHistory
from pvd_ros.node.input_watch import InputWatch
from pvd_ros.node.legend import legend_markers
from pvd_ros.node.outputs import Outputs, check_removed
from pvd_ros.node.parameters import check_thresholds, declare_parameters, unknown_parameter, weights_in
from pvd_ros.node.rate_limit import RateLimit
from pvd_ros.node.topic_check import check_input
from pvd_ros.node.transitions import refusing_impossible
from pvd_ros.node.vehicle import Vehicle
from pvd_ros.report.counters import CloudCounters
from pvd_ros.report.health import judge
from pvd_ros.report.latency import LatencyWindow, latency_table
from pvd_ros.report.loss_lines import LossLines
from pvd_ros.report.missing import LostClouds, StampGaps
from pvd_ros.report.run_report import check_report_path, write_report
from pvd_ros.report.status_messages import diagnostics_message, latency_message, latency_window_message
from pvd_ros.report.summary_line import SummaryLine

if TYPE_CHECKING:  # its module imports torch
    from pvd_core.committee import AnySegmenter
from pvd_ros.node.subscribing import subscribe_with_events
from pvd_ros.node.worker import LabellingWorker

REPORT_PERIOD_S = 1.0
_WORDING = parameters("intensity_scale", "intensity_field", *MOUNTING_SETTINGS)


class EndingError(UserError):
    """A transition was given up, because the node is to end."""


class SegmenterNode(LifecycleNode):
    """Labels the clouds of the topic `points_in`, always the newest, and counts those that it does not label.

    `start_error` is the exception that made the last lifecycle transition fail. is_ending() says whether the node is to
    end: loading is given up then. UserError for wrong parameters.
    """

    def __init__(self, context: Any = None, is_ending: Callable[[], bool] = lambda: False) -> None:
        try:
            super().__init__("segmenter", context=context, automatically_declare_parameters_from_overrides=True)
        except ValueError as error:
            raise UserError(
                "a parameter has no value; ROS reads [] as none: an empty list of names is written ['']"
            ) from error
        declare_parameters(self)
        self.add_on_set_parameters_callback(self._checked)
        service = self._service_change_state  # of rclpy's LifecycleNode
        service.callback = refusing_impossible(service.callback, self.get_logger())
        self.start_error: Exception | None = None
        self._is_ending, self._is_starting = is_ending, False
        self.counters = CloudCounters()
        self.window = LatencyWindow(self._value("latency_window"))
        self._gaps, self._lost = StampGaps(), LostClouds()
        self._remedy = remedy_for_losses(get_rmw_implementation_identifier())
        self._loss_lines, self._summary = LossLines(self._remedy), SummaryLine()
        self._history = NodeHistory(self)
        self._vehicle = Vehicle(self)
        self._segmenter: AnySegmenter | None = None
        self._worker: LabellingWorker | None = None
        self._subscription: Any = None
        self._timer: Any = None
        self._outputs: Outputs | None = None
        self._status: list[Any] = []
        self._legend_frame: str | None = None
        self._counts_before: dict[str, int] = {}
        self._said: list[str] = []

    def start(self) -> None:
        """Configures and activates the node, as a lifecycle manager would; raises the error that prevents it."""
        self._is_starting = True
        for transition in (self.trigger_configure, self.trigger_activate):
            if transition() != TransitionCallbackReturn.SUCCESS:
                raise self.start_error or RuntimeError(f"{transition.__name__} failed")
        self._is_starting = False

    def finish(self) -> None:
        """Stops labelling, logs counts and latencies, and writes the report that `report_path` asks for."""
        self._stop_working()
        self.counters.gaps += self._gaps.missing_at_end()
        counts = self.counters.as_numbers() | self._history.counters
        self._say_losses(counts, math.inf)
        self.get_logger().info("clouds: " + ", ".join(f"{name} {count}" for name, count in counts.items()))
        self.get_logger().info("latency:\n" + latency_table(self.window.percentiles()))
        if self._value("report_path"):
            try:
                write_report(self._value("report_path"), counts, self.window.percentiles(), self._said)
            except UserError as error:
                self.get_logger().error(str(error))

    def on_configure(self, state: Any) -> TransitionCallbackReturn:
        """Creates the publishers, loads the network and warms it up."""
        return self._guarded(self._configure)

    def on_activate(self, state: Any) -> TransitionCallbackReturn:
        """Subscribes to the clouds and starts to label."""
        return self._guarded(self._activate)

    def on_deactivate(self, state: Any) -> TransitionCallbackReturn:
        """Unsubscribes, once the clouds received so far are labelled."""
        return self._guarded(self._stop_working)

    def on_cleanup(self, state: Any) -> TransitionCallbackReturn:
        """Releases the network and the publishers."""
        return self._guarded(self._clean_up)

    def on_shutdown(self, state: Any) -> TransitionCallbackReturn:
        """Stops labelling."""
        return self._guarded(self._stop_working)

    def _guarded(self, step: Callable[[], None]) -> TransitionCallbackReturn:
        """Runs one transition. An exception, which rclpy would ignore, is logged, or raised by `start`."""
        try:
            step()
        except Exception as error:  # whatever it is, the state machine has to know
            self.start_error, is_mistake = error, isinstance(error, UserError)
            if not self._is_starting:  # else `start` raises it
                self.get_logger().error(str(error) if is_mistake else traceback.format_exc())
            return TransitionCallbackReturn.FAILURE if is_mistake else TransitionCallbackReturn.ERROR
        return TransitionCallbackReturn.SUCCESS

    def _configure(self) -> None:
        check_topic_name("parameter points_in", self._value("points_in"))
        check_intensity_field(self._value("intensity_field"))
        self._history.check()
        self._vehicle.check({})
        if self._value("report_path"):
            check_report_path(self._value("report_path"))
        # Publishers come first: subscribers find them while the network loads and miss no cloud.
        reliable = self._value("output_reliability") == "reliable"
        self._outputs = Outputs(self, qos_profile(reliable, self._value("output_depth")))
        self._latency = self.create_publisher(DiagnosticArray, "~/latency", 10)
        self._latency_window = self.create_publisher(Float64MultiArray, "~/latency_window", 10)
        self._legend = self.create_publisher(MarkerArray, "~/legend", qos_profile(True, 1, latched=True))
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._status = [self._latency, self._latency_window, self._legend, self._diagnostics]
        try:
            check_input(self.resolve_topic_name(self._value("points_in")), self._outputs.topic_names)
            self._segmenter = self._load_segmenter()
            self._streams = self._new_streams(self._segmenter)
            self._check_classes({})
        except Exception:
            self._clean_up()
            raise

    def _load_segmenter(self) -> AnySegmenter:
        # Torch takes seconds to import; mistakes in parameters show before that.
        self._go_on()
        from pvd_core.committee import segmenter_of
        from pvd_ros.node.threads import choose_threads, own_threads

        most = own_threads()
        weights = weights_in(self._value("weights")) or [str(default_weights())]
        self._go_on()
        segmenter = segmenter_of(weights, self._value("device"), self._value("precision"))
        self._go_on()
        segmenter.warm_up()
        self._go_on()
        self.get_logger().info(choose_threads(segmenter, self._value("num_threads"), most))
        self.get_logger().info(f"network ready: {', '.join(weights)} on {segmenter.device}")
        return segmenter

    def _new_streams(self, segmenter: AnySegmenter) -> MountedStreams:
        from pvd_core.weights.expected import expected_cloud  # its package imports torch

        return MountedStreams(_WORDING, expected_cloud(segmenter.facts).intensity_95th)

    def _go_on(self) -> None:
        if self._is_ending():
            raise EndingError("loading is given up: the node is to end")

    def _activate(self) -> None:
        self._go_on()
        assert self._segmenter is not None, "rclpy activates configured nodes only"
        assert self._outputs is not None, "rclpy activates configured nodes only"
        outputs, rate = self._outputs, RateLimit()
        self._topic = self.resolve_topic_name(self._value("points_in"))
        history = self._history.start(self._segmenter.past_scans)
        self._labeller = CloudLabeller(
            self._segmenter,
            rclpy_cloud_types(),
            history=history,
            encoder=outputs.encode,
            cropper=self._vehicle,
        )
        self._worker = LabellingWorker(
            self._labeller,
            self.counters,
            self.window,
            publish=lambda labelled: outputs.publish(labelled.message),
            after_publish=self._after_publish,
            is_wanted=lambda: outputs.is_wanted,
            is_due=lambda: rate.is_due(time.monotonic(), self._value("max_rate")),
            now_ns=lambda: self.get_clock().now().nanoseconds,
            log=self._log,
            said=self._said,
        )
        wants_reliable = self._value("input_reliability") == "reliable"
        self._vehicle.start()
        self._lost.begin()
        self._gaps.begin()
        self._input = InputWatch(self, self._topic, outputs.topic_names, wants_reliable, self._remedy)
        qos = qos_profile(wants_reliable, self._value("input_depth"))
        self._subscription = subscribe_with_events(self, PointCloud2, self._topic, self._on_cloud, qos, self._on_lost)
        # Health does not wait for a /clock that may never come.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = self.create_timer(REPORT_PERIOD_S, self._report, clock=steady)
        self.get_logger().info(f"labelling {self._topic} onto {outputs.topic_name}")

    def _on_cloud(self, message: PointCloud2, number: int | None) -> None:
        """Returns quickly: while it runs, the middleware drops clouds that this node does not count."""
        assert self._worker is not None, "there is a subscription only while a worker runs"
        self.counters.received += 1
        self._lost.receive(number)
        self._input.see(message)
        self.counters.lost = self._lost.total
        self.counters.gaps += self._gaps.missing_before(stamp_of(message))
        field, mounting = self._value("intensity_field"), self._vehicle.mounting(message.header.frame_id)
        self._labeller.stream = self._streams.of(mounting, self._value("intensity_scale"), field)
        self._labeller.intensity_field = field
        self._labeller.with_entropy = self._value("entropy")
        self.counters.dropped += self._worker.offer(message)

    def _log(self, level: str, text: str) -> None:
        """Writes to the log. rclpy refuses a line of code that logs at several levels, so each has its own."""
        if level == "info":
            self.get_logger().info(text)
        elif level == "warning":
            self.get_logger().warning(text)
        else:
            self.get_logger().error(text)

    def _on_lost(self, count: int) -> None:
        self._lost.report(count)
        self.counters.lost = self._lost.total

    def _after_publish(self, labelled: LabelledCloud, timings_ms: dict[str, float]) -> None:
        header = labelled.header
        self._latency.publish(latency_message(header, self.get_fully_qualified_name(), timings_ms))
        if header.frame_id != self._legend_frame:
            self._legend.publish(legend_markers(header.frame_id, self._labeller.segmenter.taxonomy))
            self._legend_frame = header.frame_id

    def _report(self) -> None:
        """Publishes health, counters and percentiles; called once a second."""
        assert self._segmenter is not None, "the timer runs only while the node is active"
        assert self._worker is not None, "the timer runs only while the node is active"
        percentiles = self.window.percentiles()
        counts: dict[str, Any] = self.counters.as_numbers() | self._history.counters
        problems, remarks = self._input.look(counts["received"], time.monotonic())
        self._say_losses(counts, time.monotonic())
        health = judge(
            self._counts_before,
            counts,
            percentiles["total"]["p90"] if percentiles else None,
            self._value("latency_warn_ms"),
            self._value("latency_error_ms"),
            problems,
            self._worker.remarks + remarks + self._history.remarks + self._vehicle.remarks,
        )
        self._counts_before = dict(counts)
        now = self.get_clock().now().to_msg()
        hardware = str(self._segmenter.device)
        counts |= self._segmenter.counters
        counts["intensity_scale"] = self._labeller.stream.factor
        name = self.get_fully_qualified_name()
        self._diagnostics.publish(diagnostics_message(now, name, hardware, health, counts, percentiles))
        if percentiles:
            self._latency_window.publish(latency_window_message(percentiles))
        if self._outputs:
            self._outputs.publish_classes(self._segmenter.taxonomy)
        if line := self._summary.line(counts, percentiles, time.monotonic()):
            self.get_logger().info(line)

    def _say_losses(self, counts: dict[str, int], now_s: float) -> None:
        for line in self._loss_lines.lines(counts, now_s, self._lost.is_exact):
            self.get_logger().warning(line)

    def set_parameters_atomically(self, parameter_list: list[Any]) -> SetParametersResult:
        """As that of rclpy, through which parameters are set while the node runs, but an unknown one is refused with
        the closest name."""
        unknown = [each.name for each in parameter_list if not self.has_parameter(each.name)]
        if unknown:
            return SetParametersResult(successful=False, reason=unknown_parameter(unknown[0]))
        return super().set_parameters_atomically(parameter_list)

    def _checked(self, changes: list[Any]) -> SetParametersResult:
        """Whether parameters may be set while the node runs, beyond their own ranges."""
        values = {change.name: change.value for change in changes}
        try:
            check_thresholds(self, values)
            self._vehicle.check(values)
            self._check_classes(values)
            check_intensity_field(values.get("intensity_field", ""))
            if self._subscription:
                self._input.check_field(values.get("intensity_field", ""))
        except UserError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _check_classes(self, changes: Mapping[str, Any]) -> None:
        if self._segmenter is not None:  # else they are checked when it is loaded
            for name in ("static_without", "obstacles_without"):
                check_removed(self._segmenter.taxonomy, name, changes.get(name, self._value(name)))

    def _stop_working(self) -> None:
        """Unsubscribes and finishes the clouds received so far. Does nothing if the node is not active."""
        if self._subscription:
            self.destroy_subscription(self._subscription)
            self.destroy_timer(self._timer)
            self._subscription = self._timer = None
        if self._worker:
            self._worker.stop()
            self._worker = None
            self._vehicle.stop()
            self._history.stop()

    def _clean_up(self) -> None:
        for publisher in self._status:
            self.destroy_publisher(publisher)
        if self._outputs:
            self._outputs.destroy()
        self._status, self._outputs = [], None
        self._segmenter = None
        self._legend_frame = None

    def _value(self, name: str) -> Any:
        return self.get_parameter(name).value
