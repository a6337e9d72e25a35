"""`pvd label-bag`: a bag in, the same bag with labelled clouds out."""

from pathlib import Path
from typing import Annotated

import typer

from pvd_cli import options
from pvd_cli.bag_options import (
    End,
    Entropy,
    FixedFrame,
    History,
    HistoryStride,
    LabelledTopic,
    MaxSpeed,
    MaxTurnRate,
    Odometry,
    OnlyLabelled,
    Salvage,
    Start,
    Storage,
)
from pvd_cli.cloud_options import (
    FIELD_OPTIONS,
    USUAL_HEIGHT,
    IntensityField,
    IntensityScale,
    MountingHeight,
    MountingPitch,
    MountingRoll,
    MountingYaw,
    end_where_labels_are_spoilt,
)
from pvd_cli.errors import EXIT_INCOMPLETE, interruptible, optional_packages


def label_bag(
    bag: Annotated[Path, typer.Argument(metavar="IN", help="rosbag2 folder, .mcap or .db3 file, or .bag of ROS 1.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Bag to write, a folder.")],
    weights: options.SeveralWeights = None,
    topic: Annotated[str | None, typer.Option(help="PointCloud2 topic; the bag's only one if left out.")] = None,
    labelled_topic: LabelledTopic = "",
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
    threads: options.Threads = 0,
    intensity_scale: IntensityScale = "auto",
    mounting_height: MountingHeight = USUAL_HEIGHT,
    mounting_roll: MountingRoll = 0.0,
    mounting_pitch: MountingPitch = 0.0,
    mounting_yaw: MountingYaw = 0.0,
    intensity_field: IntensityField = "",
    entropy: Entropy = False,
    only_labelled: OnlyLabelled = False,
    storage: Storage = "mcap",
    start: Start = None,
    end: End = None,
    salvage: Salvage = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue what a killed run left of OUT.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Start anew; replace OUT once all is done.")] = False,
    odometry: Odometry = "",
    fixed_frame: FixedFrame = "",
    poses: Annotated[
        Path | None, typer.Option(help="Poses: poses.txt of KITTI, a line a cloud, calib.txt beside it.")
    ] = None,
    history: History = None,
    history_stride: HistoryStride = None,
    max_speed: MaxSpeed = 60.0,
    max_turn_rate: MaxTurnRate = 180.0,
) -> None:
    """Label every cloud of a bag; ROS need not be installed.

    Points, order, stamps and frames stay; labels are added on a topic of their own.

    Malformed clouds are named with their reason and left unlabelled; the exit code is 3 then, as where --salvage left
    something out. It is 4 if clouds lie where no network knows them, such as in a map's frame or in millimetres.

    --start and --end count from the first message and hold for all topics.

    Weights that were trained with past scans behind each need poses: --odometry, --fixed-frame or --poses. Clouds
    without a pose are labelled alone; they are counted, with the reason, and so are jumps, which drop the history.

    \b
    Examples:
      pvd label-bag drive drive_labelled --topic /velodyne_points
      pvd label-bag drive drive_minute --start 60 --end 120
      pvd label-bag drive drive_labelled --resume
      pvd label-bag drive.mcap out --weights runs/first/best.safetensors --topic /points
      pvd label-bag drive.mcap out --weights default --weights cylinder3d-0.5x --topic /points
      pvd label-bag drive out --weights runs/many --odometry /odom
      pvd label-bag truck.mcap out --mounting-height 3.2 --mounting-pitch 5
    """
    from pvd_cli.classes_found import classes_found_text
    from pvd_cli.past_clouds import note_on_single
    from pvd_cli.progress import Steps
    from pvd_core import default_weights
    from pvd_core.clouds.mounting import Mounting
    from pvd_core.committee import segmenter_of

    with optional_packages("ros", "reading bags"):
        from pvd_ros.bags import LabelOptions, PoseOptions
        from pvd_ros.bags import label_bag as label_whole_bag
        from pvd_ros.poses import PoseLimits

    options.use_threads(threads)
    label_options = LabelOptions(
        intensity_scale=intensity_scale,
        mounting=Mounting(mounting_height, mounting_roll, mounting_pitch, mounting_yaw),
        wording=FIELD_OPTIONS,
        intensity_field=intensity_field,
        entropy=entropy,
        labelled_topic=labelled_topic,
        copy_other_topics=not only_labelled,
        storage=storage,
        start_s=start,
        end_s=end,
        salvage=salvage,
        resume=resume,
        overwrite=overwrite,
        poses=PoseOptions(
            odometry=odometry,
            fixed_frame=fixed_frame,
            file=str(poses or ""),
            history=history,
            history_stride=history_stride,
            limits=PoseLimits(max_speed, max_turn_rate),
        ),
    )
    segmenter = segmenter_of(weights or [default_weights()], device, precision)
    note_on_single(segmenter.past_scans, label_options.poses, "--odometry, --fixed-frame or --poses")
    with (
        interruptible(lambda: f"{out} is not complete and not there; the same command with --resume continues"),
        Steps("labelling", "clouds") as steps,
    ):
        report = label_whole_bag(bag, out, segmenter, topic=topic, options=label_options, progress=steps.show)
    print(report.text())
    if classes := classes_found_text(report.points_of_class, segmenter.taxonomy):
        print(classes)
    end_where_labels_are_spoilt(report.num_spoilt, 0 if report.is_whole else EXIT_INCOMPLETE)
