"""Player, node and recorder as three processes over ROS 2, watched until every cloud is accounted for."""

import dataclasses
import json
import time
from pathlib import Path

from pvd_cli.demo.domain import ros_environment
from pvd_cli.demo.drive import Drive
from pvd_cli.demo.processes import Child
from pvd_cli.demo.run import LabelledDrive
from pvd_cli.progress import Steps
from pvd_core.borders.errors import UserError
from pvd_core.clouds.mounting import Mounting
from pvd_core.weights import read_facts, taxonomy_of
from pvd_ros.poses.history import history_in

_LABELLED_TOPIC = "/segmenter/points"
_READY_S = 120
_FINISH_S = 60
# Without news for so long the node is stuck; a cloud may take seconds on a slow machine.
_SILENCE_S = 60
_QUIET_REPORTS = 3


def label_live(
    drive: Drive, weights: Path, rate: float, intensity_scale: str, mounting: Mounting, num_past: int, out: Path
) -> LabelledDrive:
    """Plays the drive into the node and records what it publishes; `num_past` past clouds are put behind each by the
    drive's odometry. UserError where a process fails."""
    logs, reports = out / "logs", {name: out / "logs" / f"{name}.json" for name in ("player", "node", "recorder")}
    logs.mkdir()
    labelled_bag = out / "labelled"
    with ros_environment() as environment:

        def child(name, module, *arguments):
            return Child(name, module, arguments, environment, logs / f"{name}.log")

        recorder_arguments = (labelled_bag, "--topic", _LABELLED_TOPIC, "--report", reports["recorder"])
        node_parameters = {
            "points_in": drive.topic,
            "weights": Path(weights).resolve(),
            "report_path": reports["node"].resolve(),
            "intensity_scale": intensity_scale,
            **{f"mounting_{name}": value for name, value in dataclasses.asdict(mounting).items()},
            "latency_window": min(max(drive.num_clouds, 1), 100_000),
            # Without poses the weights' own wish only brings a remark.
            **(_history_parameters(drive, num_past, rate) if num_past else {}),
        }
        node_arguments = [word for key, value in node_parameters.items() for word in ("-p", f"{key}:={value}")]
        also = ("--also", drive.odometry) if num_past else ()
        player_arguments = (drive.bag, "--topic", drive.topic, "--rate", rate, "--report", reports["player"], *also)
        waiting = ("--wait-for-subscribers", 1, "--wait-timeout", _READY_S)
        print("starting recorder, node and player", flush=True)
        with _NodeWatch() as watch, child("recorder", "pvd_ros.record", *recorder_arguments) as recorder:
            # One after the other: participants that appear at the same moment can take seconds to find each other.
            recorder.wait_for_output("recording", _READY_S)
            with child("node", "pvd_ros.node", "--ros-args", *node_arguments) as node:
                node.wait_for_output("labelling", _READY_S)
                recorder.wait_for_output("hearing", _READY_S)
                with child("player", "pvd_ros.play", *player_arguments, *waiting) as player:
                    _watch_until_done(watch, (recorder, node, player), player, drive.num_clouds)
                node.finish(_FINISH_S)
            recorder.finish(_FINISH_S)
    taxonomy = taxonomy_of(read_facts(weights))
    return _labelled_drive(labelled_bag, taxonomy, *(json.loads(path.read_text()) for path in reports.values()))


def what_ctrl_c_left(out: Path) -> str:
    """What became of the processes of `label_live`, if it had begun to start them."""
    if (out / "logs" / "recorder.log").exists():
        return "player, node and recorder are stopped"
    return "the demo is not finished; repeat the command to start anew"


def _history_parameters(drive: Drive, num_past: int, rate: float) -> dict[str, object]:
    # Played slowly, odometry comes later behind its cloud.
    wait_ms = min(100.0 * max(1.0, 1 / rate), 10_000.0)
    return {"odometry": drive.odometry, "history": num_past, "pose_wait_ms": wait_ms}


class _NodeWatch:
    """Listens to the node's diagnostics: `counts` are its latest counters, `num_reports` how many came."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.num_reports = 0

    def __enter__(self):
        import rclpy
        from diagnostic_msgs.msg import DiagnosticArray

        from pvd_ros.middleware.ros_session import ros_context

        self._session = ros_context()
        context = self._session.__enter__()
        self._node = rclpy.create_node("demo_watch", context=context, use_global_arguments=False)
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._take, 10)
        self._executor = rclpy.executors.SingleThreadedExecutor(context=context)
        self._executor.add_node(self._node)
        return self

    def __exit__(self, *exception):
        self._executor.shutdown()
        self._node.destroy_node()
        self._session.__exit__(*exception)

    def listen(self, seconds: float) -> None:
        """Handles what comes within that time."""
        self._executor.spin_once(timeout_sec=seconds)

    def _take(self, message):
        for status in message.status:
            values = {item.key: item.value for item in status.values}
            if "received" in values:
                self.counts = {key: int(value) for key, value in values.items() if value.isdecimal()}
                self.num_reports += 1


def _watch_until_done(watch, children, player, num_clouds):
    """Shows progress until the player has ended and the node's counters stand still."""
    last_counts: dict[str, int] = {}
    last_change, quiet_reports, last_report = time.monotonic(), 0, 0
    with Steps("playing", "clouds") as steps:
        while not (player.has_ended and quiet_reports >= _QUIET_REPORTS):
            for child in children:
                child.check_alive()
            watch.listen(0.2)
            if watch.counts != last_counts:
                last_counts, last_change, quiet_reports = watch.counts, time.monotonic(), 0
                last_report = watch.num_reports
                steps.show(min(watch.counts["received"], num_clouds), num_clouds)
            elif player.has_ended:
                quiet_reports = watch.num_reports - last_report
            if time.monotonic() - last_change > _SILENCE_S and player.has_ended:
                raise UserError(
                    f"the node has said nothing for {_SILENCE_S} s after the player ended; see {children[1].log}"
                )


def _labelled_drive(labelled_bag, taxonomy, played, node, recorded):
    counts = node["clouds"]
    reasons = {key.removeprefix("rejected_"): n for key, n in counts.items() if key.startswith("rejected_")}
    if played["unreadable"]:  # the player cannot publish what is no cloud
        reasons["unreadable_message"] = played["unreadable"]
    return LabelledDrive(
        labelled_bag=labelled_bag,
        labelled_topic=_LABELLED_TOPIC,
        counts={
            "played": played["clouds"] + played["unreadable"],
            "labelled": counts["labelled"],
            "dropped": counts["dropped"],
            "rejected": counts["rejected"] + played["unreadable"],
            "skipped": counts["skipped"],
            "lost": played["clouds"] - counts["received"],
            "recorded": recorded["clouds"],
        },
        rejected_by_reason=reasons,
        latency_ms=node["latency_ms"],
        taxonomy=taxonomy,
        remarks=node["remarks"],
        history=history_in(counts),
        bag_stamp_of_published={published: in_bag for in_bag, published in played["stamps"]},
    )
