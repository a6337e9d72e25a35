"""`pvd label-bag`: a bag in, the same bag with labelled clouds out."""

from pathlib import Path
from typing import Annotated

import typer

from pvd_cli.cloud_options import (
    BAG_OPTIONS,
    USUAL_HEIGHT,
    IntensityScale,
    MountingHeight,
    MountingPitch,
    MountingRoll,
    MountingYaw,
)
from pvd_cli.errors import interruptible, optional_packages
from pvd_core.borders.errors import UserError


def label_bag(
    bag: Annotated[Path, typer.Argument(metavar="IN", help="rosbag2 folder, .mcap or .db3 file.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Bag to write; must not exist.")],
    weights: Annotated[Path | None, typer.Option(help="Weights; those that ship with pvd if left out.")] = None,
    topic: Annotated[str | None, typer.Option(help="PointCloud2 topic; the bag's only one if left out.")] = None,
    labelled_topic: Annotated[str, typer.Option(help="Topic of the labelled clouds; TOPIC/labelled if left out.")] = "",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    precision: Annotated[str, typer.Option(help="Number format: auto, fp32, bf16; on GPUs also tf32, fp16.")] = "fp32",
    intensity_scale: IntensityScale = "auto",
    mounting_height: MountingHeight = USUAL_HEIGHT,
    mounting_roll: MountingRoll = 0.0,
    mounting_pitch: MountingPitch = 0.0,
    mounting_yaw: MountingYaw = 0.0,
    intensity_field: Annotated[str, typer.Option(help="Field that holds intensity, where it has another name.")] = "",
    only_labelled: Annotated[bool, typer.Option("--only-labelled", help="Leave the other topics out.")] = False,
    storage: Annotated[str, typer.Option(help="mcap or sqlite3.")] = "mcap",
) -> None:
    """Label every cloud of a bag; ROS need not be installed.

    Points, order, stamps and frames stay; labels are added on a topic of their own.

    Malformed clouds are counted by reason and left unlabelled.

    \b
    Examples:
      pvd label-bag drive drive_labelled --topic /velodyne_points
      pvd label-bag drive.mcap out --weights runs/first/best.safetensors --topic /points
      pvd label-bag truck.mcap out --mounting-height 3.2 --mounting-pitch 5
    """
    from pvd_cli.progress import Steps
    from pvd_core import default_weights
    from pvd_core.clouds.mounting import Mounting
    from pvd_core.segmenter import Segmenter

    with optional_packages("ros", "reading bags"):
        from pvd_ros.bags import LabelOptions
        from pvd_ros.bags import label_bag as label_whole_bag

    options = LabelOptions(
        intensity_scale=intensity_scale,
        mounting=Mounting(mounting_height, mounting_roll, mounting_pitch, mounting_yaw),
        wording=BAG_OPTIONS,
        intensity_field=intensity_field,
        labelled_topic=labelled_topic,
        copy_other_topics=not only_labelled,
        storage=storage,
    )
    segmenter = Segmenter.from_weights(weights or default_weights(), device=device, precision=precision)
    with (
        interruptible(lambda: f"nothing was kept: {out} would have been half a bag"),
        Steps("labelling", "clouds") as steps,
    ):
        report = label_whole_bag(bag, out, segmenter, topic=topic, options=options, progress=steps.show)
    print(report.text())
    if report.clouds and not report.labelled:
        raise UserError(f"not one of the {report.clouds} clouds was labelled; rejected: {', '.join(report.rejected)}")
