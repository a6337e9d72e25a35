"""Labels every cloud of a bag into another bag. The result depends on the bag, the weights and the options only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pvd_core.borders.errors import UserError
from pvd_core.clouds.stream import CloudStream
from pvd_ros.bags import labelled_cloud
from pvd_ros.bags.bag import Bag
from pvd_ros.bags.channel import BagError, Message, NoCloudsError
from pvd_ros.bags.label_options import LabelOptions
from pvd_ros.bags.label_report import LabelReport, Rejection
from pvd_ros.bags.labelled_cloud import confidence_of, labels_of
from pvd_ros.bags.poses import CloudPoses, poses_of
from pvd_ros.bags.reader import cloud_topic, open_bag
from pvd_ros.bags.resume import RECORD, EarlierLabels, check_settings, earlier_labels, settings_of
from pvd_ros.bags.types import cloud_from_bytes, cloud_to_bytes, rosbags_cloud_types
from pvd_ros.bags.writer import BagWriter, check_free
from pvd_ros.codec import MalformedCloudError, stamp_of
from pvd_ros.labeller import CloudLabeller
from pvd_ros.poses import CloudHistory
from pvd_ros.poses.history import past_behind, training_remark
from pvd_ros.report.latency import LatencyWindow

if TYPE_CHECKING:  # its module imports torch
    from pvd_core.committee import AnySegmenter

_LATEST_NS = 2**63 - 1


def label_bag(
    bag_in: Path | str,
    bag_out: Path | str,
    segmenter: AnySegmenter,
    topic: str | None = None,
    options: LabelOptions | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> LabelReport:
    """Writes the new bag `bag_out`: the messages of `bag_in` unchanged, the labelled clouds on a topic of their own.

    topic: the one with the clouds; None for the bag's only PointCloud2 topic. progress(done, total) is called after
    each cloud. A malformed cloud is reported and not labelled. The same inputs give the same bytes.
    BagError for bags and topics that do not fit, and if not one cloud was labelled: then nothing is written.
    """
    # Its package imports torch, which takes seconds: players and recorders of bags do without.
    from pvd_core.weights.expected import expected_cloud

    options = options or LabelOptions()
    usual_95th = expected_cloud(segmenter.facts).intensity_95th
    stream = CloudStream(options.intensity_scale, options.mounting, options.wording, usual_95th)
    with open_bag(bag_in, options.salvage) as bag:
        topic = cloud_topic(bag, topic)
        labelled_topic = options.labelled_topic or f"{topic.rstrip('/')}/labelled"
        report = LabelReport(Path(bag_out), topic, labelled_topic, segmenter.taxonomy)
        span = _span(bag, options)
        total = bag.count(topic, *span)
        _check(bag, report, total, options)
        poses = poses_of(bag, topic, options.poses, span[0])
        history = _history(poses, segmenter, options, report)
        labeller = CloudLabeller(
            segmenter, rosbags_cloud_types(), stream, options.intensity_field, history, options.entropy
        )
        first = bag.count(topic, None, span[0]) + 1 if span[0] is not None else 1
        settings = settings_of(bag, topic, segmenter, options)
        if options.resume and report.bag.exists():
            return _complete_already(report, total, settings)
        window = LatencyWindow(size=total)
        with (
            _writer(report.bag, options) as writer,
            earlier_labels(
                writer.earlier, report.bag, report.labelled_topic, settings if options.resume else None
            ) as earlier,
        ):
            if not options.resume and earlier.any_left:
                raise UserError(
                    f"an earlier run left labelled clouds of {report.bag}; "
                    "--resume continues it, --overwrite starts anew"
                )
            writer.add_metadata(RECORD, settings)
            for channel in bag.channels if options.copy_other_topics else ():
                writer.add_channel(channel)
            for message in bag.messages(None, *span):
                if options.copy_other_topics:
                    writer.write(message.channel, message.raw, message.log_time_ns, message.sequence)
                if message.channel.topic == topic:
                    if poses is not None:
                        poses.go_to(first + report.clouds, message.log_time_ns)
                    _label_message(message, labeller, earlier, writer, report, window)
                    if progress:
                        progress(report.clouds, total)
            if not report.labelled:
                raise BagError(
                    f"not one of the {report.clouds} clouds on {topic} of {bag.path} was labelled, and nothing is "
                    f"written: {'; '.join(map(str.strip, report.rejected_lines()))}"
                )
            writer.add_metadata(labelled_cloud.RECORD, labelled_cloud.record_of(segmenter.taxonomy, stream))
        report.damage, report.remarks = bag.damage, [*bag.remarks, *report.remarks]
        report.num_spoilt = stream.num_spoilt
        if history is not None:
            report.remarks += history.new_remarks()
            report.history = history.counters
    report.latency_ms = window.percentiles()
    return report


def _label_message(
    message: Message,
    labeller: CloudLabeller,
    earlier: EarlierLabels,
    writer: BagWriter,
    report: LabelReport,
    window: LatencyWindow,
) -> None:
    """Labels one cloud, or takes the labelled one of a killed run, or reports why there is none."""
    report.clouds += 1
    raw: bytes | memoryview | None = earlier.take(report.clouds)
    if raw is not None:
        report.resumed += 1
        if labeller.history is not None or not labeller.stream.is_decided:
            labeller.pass_over(cloud_from_bytes(message.raw))
        earlier_cloud = cloud_from_bytes(raw)
        report.count_labels(labels_of(earlier_cloud), confidence_of(earlier_cloud))
    else:
        cloud = None
        try:
            cloud = cloud_from_bytes(message.raw)
            labelled = labeller.label(cloud)
        except MalformedCloudError as error:
            stamp_ns = message.log_time_ns if cloud is None else stamp_of(cloud)
            report.reject(Rejection(report.clouds, stamp_ns, error.reason, str(error)))
            return
        window.record(labelled.timings_ms)
        found = [labelled.note, *labeller.remarks_on(labelled)]
        report.remarks += [f"cloud {report.clouds}: {sentence}" for sentence in found if sentence]
        report.count_labels(labelled.segmentation.labels, labelled.segmentation.confidence)
        raw = cloud_to_bytes(labelled.message)
    writer.write_cloud_bytes(report.labelled_topic, raw, message.log_time_ns, sequence=report.clouds)


def _history(
    poses: CloudPoses | None, segmenter: AnySegmenter, options: LabelOptions, report: LabelReport
) -> CloudHistory | None:
    """The history of past clouds; None where each is labelled alone. What is to be said of that goes to the report."""
    wanted = segmenter.past_scans
    past = past_behind(wanted, options.poses.history, options.poses.history_stride)
    if poses is None:
        return None
    if not past.past:
        report.remarks.append("poses are not needed: no past clouds are put behind each; --history N puts N there")
        return None
    report.remarks += filter(None, [training_remark(wanted, past)])
    return CloudHistory(past, poses)


def _span(bag: Bag, options: LabelOptions) -> tuple[int | None, int | None]:
    """Log times in ns from which and before which messages count; None for no limit."""
    start, end = (
        None if seconds is None else min(bag.start_ns + round(seconds * 1e9), _LATEST_NS)
        for seconds in (options.start_s, options.end_s)
    )
    return start, end


def _check(bag: Bag, report: LabelReport, total: int, options: LabelOptions) -> None:
    if report.labelled_topic in {channel.topic for channel in bag.channels}:
        raise BagError(f"{bag.path} already has a topic {report.labelled_topic}; choose another with --labelled-topic")
    if not bag.count(report.topic):
        raise NoCloudsError(f"topic {report.topic} of {bag.path} holds no clouds: there is nothing to label")
    if not total:
        seconds = (bag.end_ns - bag.start_ns) / 1e9
        raise NoCloudsError(f"no cloud of {bag.path} lies between --start and --end; it is {seconds:.1f} s long")
    source = bag.path.resolve()
    if report.bag.resolve() in (source, *source.parents):
        raise UserError(f"{report.bag} is the bag to label, or holds it; choose another place for the new one")
    if not options.resume:
        check_free(report.bag, options.overwrite, "choose another path, or replace it with --overwrite")


def _writer(path: Path, options: LabelOptions) -> BagWriter:
    leftovers = "replace" if options.overwrite else "set aside"
    return BagWriter(path, options.storage, leftovers, overwrite=options.overwrite, keeps_interrupted=True)


def _complete_already(report: LabelReport, total: int, settings: dict[str, str]) -> LabelReport:
    """The report on a bag that an earlier run completed."""
    with open_bag(report.bag) as bag:
        check_settings(bag, report.bag, settings)
        for message in bag.messages(report.labelled_topic):
            cloud = cloud_from_bytes(message.raw)
            report.count_labels(labels_of(cloud), confidence_of(cloud))
    report.clouds, report.resumed, report.was_complete = total, report.labelled, True
    report.rejected.update({"rejected in an earlier run": total - report.labelled} if total > report.labelled else {})
    return report
