"""The demo where no ROS 2 is installed: every cloud of the bag is labelled, one after the other."""

import importlib
from pathlib import Path

from pvd_cli.cloud_options import LABELLING_OPTIONS
from pvd_cli.demo.drive import Drive
from pvd_cli.demo.run import LabelledDrive
from pvd_cli.progress import Steps
from pvd_core.clouds.mounting import Mounting

_LABELLED_TOPIC = "/segmenter/points"
_NODE_MODULES = ("rclpy", "sensor_msgs.msg", "diagnostic_msgs.msg", "visualization_msgs.msg")


def why_no_node() -> str:
    """What the node lacks here, with what brings it; "" where it can run."""
    remedy = "(source a ROS 2 built for this Python, or pip install 'pvd_ros[ros]' on x86-64 Linux; see `pvd doctor`)"
    name = ""
    try:
        for name in _NODE_MODULES:
            importlib.import_module(name)
    # Also a ROS of another Python, whose compiled parts are missing, and libraries that do not load.
    except (ImportError, OSError) as error:
        return f"{name.split('.')[0]} does not import: {error} {remedy}"
    return ""


def label_offline(
    drive: Drive, weights: Path, intensity_scale: str, mounting: Mounting, num_past: int, out: Path
) -> LabelledDrive:
    """Labels the drive's bag into the folder `out`; `num_past` as label_live takes it."""
    from pvd_core.segmenter import Segmenter
    from pvd_ros.bags import LabelOptions, PoseOptions, label_bag, read_clouds
    from pvd_ros.codec import stamp_of

    (out / "logs").mkdir()
    segmenter = Segmenter.from_weights(weights)
    segmenter.warm_up()
    options = LabelOptions(
        intensity_scale=intensity_scale,
        mounting=mounting,
        wording=LABELLING_OPTIONS,
        labelled_topic=_LABELLED_TOPIC,
        copy_other_topics=False,
        poses=PoseOptions(odometry=drive.odometry, history=num_past) if num_past else PoseOptions(),
    )
    with Steps("labelling", "clouds") as steps:
        report = label_bag(drive.bag, out / "labelled", segmenter, drive.topic, options, steps.show)
    stamps = [stamp_of(cloud.message) for cloud in read_clouds(report.bag, _LABELLED_TOPIC)]
    counts = {"played": report.clouds, "labelled": report.labelled, "rejected": sum(report.rejected.values())}
    return LabelledDrive(
        labelled_bag=report.bag,
        labelled_topic=_LABELLED_TOPIC,
        counts={**counts, "dropped": 0, "skipped": 0, "lost": 0, "recorded": report.labelled},
        rejected_by_reason=dict(report.rejected),
        latency_ms=report.latency_ms,
        taxonomy=segmenter.taxonomy,
        remarks=report.remarks,
        history=report.history,
        bag_stamp_of_published={stamp: stamp for stamp in stamps},
        is_live=False,
    )
