"""Labels every cloud of a bag into another bag. The result depends on the bag, the weights and the options only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from rosbags.interfaces import ConnectionExtRosbag2
from rosbags.rosbag2 import Reader

from pvd_core.borders.wording import counted
from pvd_core.clouds.intensity import AUTO, check_intensity_scale
from pvd_core.clouds.judge import Wording
from pvd_core.clouds.mounting import Mounting
from pvd_core.clouds.stream import CloudStream
from pvd_ros.bags.definitions import definition_of
from pvd_ros.bags.reader import BagError, cloud_topic, open_bag, raw_messages
from pvd_ros.bags.topic_names import check_bag_topic
from pvd_ros.bags.types import cloud_from_bytes, rosbags_cloud_types
from pvd_ros.bags.writer import BagWriter
from pvd_ros.codec import MalformedCloudError
from pvd_ros.labeller import CloudLabeller
from pvd_ros.report.latency import LatencyWindow, latency_table

if TYPE_CHECKING:  # its module imports torch
    from pvd_core.segmenter import Segmenter


@dataclass(frozen=True)
class LabelOptions:
    """How a bag is labelled. UserError for a labelled_topic that is no topic name.

    intensity_scale, mounting, wording: as CloudStream takes them. intensity_field: as pvd_ros.codec.decode takes it.
    labelled_topic: where the labelled clouds go;
    "" is <topic>/labelled. copy_other_topics: whether the topics of the old bag are in the new one too.
    storage: a key of pvd_ros.bags.writer.STORAGES.
    """

    intensity_scale: float | str = AUTO
    mounting: Mounting = field(default_factory=Mounting)
    wording: Wording = field(default_factory=Wording)
    intensity_field: str = ""
    labelled_topic: str = ""
    copy_other_topics: bool = True
    storage: str = "mcap"

    def __post_init__(self) -> None:
        check_intensity_scale(self.intensity_scale)
        if self.labelled_topic:
            check_bag_topic("labelled_topic", self.labelled_topic)


@dataclass
class LabelReport:
    """The outcome: clouds = labelled + the sum of rejected, which is {reason: clouds}.

    bag: the bag that was written. points: those of the labelled clouds. not_copied: topics left out, each with the
    reason. remarks: sentences on what of the clouds is not as networks expect it. latency_ms: {stage: {"p50", "p90",
    "p99"}} in milliseconds.
    """

    bag: Path
    topic: str
    labelled_topic: str
    clouds: int = 0
    labelled: int = 0
    points: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    not_copied: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    latency_ms: dict[str, dict[str, float]] = field(default_factory=dict)

    def text(self) -> str:
        """The report for people, with the table of latencies."""
        lines = [
            f"{self.labelled} of {counted(self.clouds, 'cloud')} labelled ({counted(self.points, 'point')}) "
            f"on {self.labelled_topic}"
        ]
        lines += [f"rejected {count}: {reason}" for reason, count in sorted(self.rejected.items())]
        lines += [f"not copied: {topic}" for topic in self.not_copied]
        lines += [f"note: {remark}" for remark in self.remarks]
        return "\n".join([*lines, latency_table(self.latency_ms), f"written: {self.bag}"])


def label_bag(
    bag_in: Path | str,
    bag_out: Path | str,
    segmenter: Segmenter,
    topic: str | None = None,
    options: LabelOptions | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> LabelReport:
    """Writes the new bag `bag_out`: the topics of `bag_in` unchanged, and the labelled clouds on a topic of their own.

    topic: the one with the clouds; None for the bag's only PointCloud2 topic. progress(done, total) is called after
    each cloud. A malformed cloud is counted by reason and not labelled. The same inputs give the same bytes.
    BagError for bags and topics that do not fit.
    """
    options = options or LabelOptions()
    stream = CloudStream(options.intensity_scale, options.mounting, options.wording)
    labeller = CloudLabeller(segmenter, rosbags_cloud_types(), stream, options.intensity_field)
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


def _add_copied_topics(reader: Reader, writer: BagWriter, report: LabelReport) -> set[str]:
    """Adds the topics of the old bag to the new one and returns their names; those left out are in the report."""
    copied = set()
    for connection in reader.connections:
        definition = definition_of(connection)
        if definition is None:
            report.not_copied.append(f"{connection.topic} ({connection.msgtype}: the bag does not hold its definition)")
        else:
            qos = cast(ConnectionExtRosbag2, connection.ext).offered_qos_profiles
            writer.add_topic(connection.topic, connection.msgtype, *definition, qos)
            copied.add(connection.topic)
    return copied


def _label_message(
    raw: bytes,
    log_time_ns: int,
    labeller: CloudLabeller,
    writer: BagWriter,
    report: LabelReport,
    window: LatencyWindow,
) -> None:
    report.clouds += 1
    try:
        labelled = labeller.label(cloud_from_bytes(raw))
    except MalformedCloudError as error:
        report.rejected[error.reason] += 1
        return
    writer.write_cloud(report.labelled_topic, labelled.message, log_time_ns)
    window.record(labelled.timings_ms)
    found = [labelled.note, *labeller.remarks_on(labelled)]
    report.remarks += [f"cloud {report.clouds}: {sentence}" for sentence in found if sentence]
    report.labelled += 1
    report.points += len(labelled.segmentation.labels)
