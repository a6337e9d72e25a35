"""`pvd export`: a labelled bag as a folder in which people correct labels and from which networks learn."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from pvd_cli.bag_options import FixedFrame, Odometry
from pvd_cli.cloud_options import IntensityScale
from pvd_cli.errors import interruptible, optional_packages
from pvd_core.borders.errors import UserError


def export(
    bag: Annotated[Path, typer.Argument(metavar="LABELLED_BAG", help="As `pvd label-bag` writes it.")],
    out: Annotated[Path, typer.Option(help="Folder of a data set; it may have other sequences already.")],
    sequence: Annotated[str, typer.Option(help="Sequence to write: 00 to 07, 09, 10 train, 08 validates.")] = "00",
    every: Annotated[int, typer.Option(min=1, help="Only every n-th labelled cloud.")] = 1,
    scans: Annotated[int | None, typer.Option(min=1, help="At most so many scans.")] = None,
    below_confidence: Annotated[
        float | None, typer.Option(help="Take those --scans with the largest share of points below this confidence.")
    ] = None,
    poses: Annotated[
        str | None,
        typer.Option(metavar="FILE|kiss-icp", help="Poses as KITTI writes them, a line a cloud; or by the clouds."),
    ] = None,
    odometry: Odometry = "",
    fixed_frame: FixedFrame = "",
    topic: Annotated[
        str | None, typer.Option(help="Topic of the labelled clouds; what the bag says if left out.")
    ] = None,
    taxonomy: Annotated[str | None, typer.Option(help="Classes of the labels; what the bag says if left out.")] = None,
    intensity_scale: IntensityScale = "auto",
) -> None:
    """Write a labelled bag as a sequence in SemanticKITTI's layout, to correct its labels and to train on them.

    OUT/sequences/NN gets velodyne/*.bin, labels/*.label (raw SemanticKITTI ids), poses.txt, calib.txt and times.txt, as
    point_labeler (github.com/jbehley/point_labeler) opens them, confidence/*.conf (float32, one a point), and
    export.json, which says from which cloud of the bag each scan is. Points are in the frame and intensity in which
    they were labelled.

    Poses are those of the sensor, so Tr in calib.txt changes nothing. FILE holds a pose for each labelled cloud or for
    each cloud of the bag's topic; if a calib.txt is beside it, its poses are the camera's. Clouds without
    a pose by --odometry or --fixed-frame are left out, and said. Without any of these each scan is put 200 m from the
    others, to be labelled by itself: such poses are made up.

    A sequence that is there is never replaced: the labels in it may be corrected ones.

    \b
    Examples:
      pvd export labelled/drive --out corrections --scans 50 --every 10
      pvd export labelled/drive --out corrections --sequence 01 --below-confidence 0.5 --scans 20
      pvd export labelled/drive --out corrections --odometry /odom
      pvd export labelled/drive --out corrections --poses poses.txt
      pvd train corrections --config config/train_simulated.yaml --out runs/corrected
    """
    from pvd_cli.classes_found import classes_found_text
    from pvd_cli.progress import Steps
    from training.data.scan_list import SPLITS
    from training.simulate.folder import SIMULATION_FILE

    with optional_packages("ros", "reading bags"):
        from pvd_ros.bags import PoseOptions
        from pvd_ros.export import ScanChoice, export_bag
        from pvd_ros.export.folder import described

    if (out / SIMULATION_FILE).exists():
        raise UserError(f"{out} is a simulated data set, whose scans may be in other units; name a folder of its own")
    choice = ScanChoice(every, below_confidence, scans)
    sources = PoseOptions(odometry, fixed_frame, poses or "")
    with interruptible(lambda: f"nothing is written to {out}"), Steps("exporting", "scans") as steps:
        report = export_bag(bag, out, sequence, choice, sources, topic, taxonomy, intensity_scale, steps.show)
    remarks = report.remarks
    if sequence not in SPLITS["train"] + SPLITS["valid"]:
        remarks = [*remarks, f"pvd train takes sequence {sequence} only where it is named: --set sequences={sequence}"]
    for remark in remarks:
        print(f"note: {remark}", file=sys.stderr)
    print(described(report))
    if classes := classes_found_text(report.points_of_class, report.taxonomy):
        print(classes)
    if not report.has_poses:
        print("poses are made up, each scan by itself: --odometry, --fixed-frame or --poses gives true ones")
