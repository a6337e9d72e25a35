"""Label every cloud of a bag: bag, weights and options in, labelled bag out, nothing else read or changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pvd_core.borders.wording import counted
from pvd_ros.bags.copy_topics import definition_of
from pvd_ros.bags.reader import BagError, cloud_topic, open_bag, raw_messages
from pvd_ros.bags.topic_names import check_bag_topic
from pvd_ros.bags.types import cloud_from_bytes, rosbags_cloud_types
from pvd_ros.bags.writer import BagWriter
from pvd_ros.codec import MalformedCloudError
from pvd_ros.labeller import CloudLabeller
from pvd_ros.latency import LatencyWindow, latency_table


@dataclass(frozen=True)
class LabelOptions:
    """intensity_scale brings intensity to 0..1; labelled_topic "" means <topic>/labelled."""

    intensity_scale: float = 1.0
    intensity_field: str = ""
    labelled_topic: str = ""
    copy_other_topics: bool = True
    storage: str = "mcap"

    def __post_init__(self):
        if self.labelled_topic:
            check_bag_topic("labelled_topic", self.labelled_topic)


@dataclass
class LabelReport:
    """What happened. clouds = labelled + the sum of rejected. latency_ms: {stage: {"p50", "p90", "p99"}}."""

    bag: Path
    topic: str
    labelled_topic: str
    clouds: int = 0
    labelled: int = 0
    points: int = 0
    rejected: Counter = field(default_factory=Counter)
    not_copied: list[str] = field(default_factory=list)
    latency_ms: dict[str, dict[str, float]] = field(default_factory=dict)

    def text(self) -> str:
        """The report for a terminal, latency table included."""
        lines = [
            f"{self.labelled} of {counted(self.clouds, 'cloud')} labelled ({counted(self.points, 'point')}) "
            f"on {self.labelled_topic}"
        ]
        lines += [f"rejected {count}: {reason}" for reason, count in sorted(self.rejected.items())]
        lines += [f"not copied: {topic}" for topic in self.not_copied]
        return "\n".join([*lines, latency_table(self.latency_ms), f"written: {self.bag}"])


def label_bag(
    bag_in: Path | str,
    bag_out: Path | str,
    segmenter,
    topic: str | None = None,
    options: LabelOptions | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> LabelReport:
    """Write `bag_out`: everything of `bag_in` unchanged, and the labelled clouds on their own topic.

    segmenter: pvd_core's Segmenter. progress(done, total) is called after each cloud.
    A malformed cloud is counted by reason and left unlabelled. The same inputs give the same bytes.
    """
    options = options or LabelOptions()
    labeller = CloudLabeller(segmenter, rosbags_cloud_types(), options.intensity_scale, options.intensity_field)
    with open_bag(bag_in) as reader:
        topic = cloud_topic(reader, bag_in, topic)
        report = LabelReport(Path(bag_out), topic, options.labelled_topic or f"{topic.rstrip('/')}/labelled")
        if report.labelled_topic in {connection.topic for connection in reader.connections}:
            raise BagError(f"{bag_in} already has a topic {report.labelled_topic}; choose another with labelled_topic")
        total = sum(connection.msgcount for connection in reader.connections if connection.topic == topic)
        window = LatencyWindow(size=max(total, 1))
        with BagWriter(bag_out, options.storage) as writer:
            copied = _add_copied_topics(reader, writer, report) if options.copy_other_topics else set()
            for connection, log_time_ns, raw in raw_messages(reader, bag_in):
                if connection.topic in copied:
                    writer.write_bytes(connection.topic, raw, log_time_ns)
                if connection.topic == topic:
                    _label_message(raw, log_time_ns, labeller, writer, report, window)
                    if progress:
                        progress(report.clouds, total)
    report.latency_ms = window.percentiles()
    return report


def _add_copied_topics(reader, writer: BagWriter, report: LabelReport) -> set[str]:
    copied = set()
    for connection in reader.connections:
        definition = definition_of(connection)
        if definition is None:
            report.not_copied.append(f"{connection.topic} ({connection.msgtype}: the bag does not hold its definition)")
        else:
            writer.add_topic(connection.topic, connection.msgtype, *definition, connection.ext.offered_qos_profiles)
            copied.add(connection.topic)
    return copied


def _label_message(raw, log_time_ns, labeller, writer: BagWriter, report: LabelReport, window: LatencyWindow) -> None:
    report.clouds += 1
    try:
        labelled = labeller.label(cloud_from_bytes(raw))
    except MalformedCloudError as error:
        report.rejected[error.reason] += 1
        return
    writer.write_cloud(report.labelled_topic, labelled.message, log_time_ns)
    window.record(labelled.timings_ms)
    report.labelled += 1
    report.points += len(labelled.segmentation.labels)
