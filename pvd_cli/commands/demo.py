"""`pvd demo`: simulate or take a bag, label it as on a vehicle, show what came out."""

from pathlib import Path
from typing import Annotated

import typer

from pvd_cli.cloud_options import (
    USUAL_HEIGHT,
    IntensityScale,
    MountingHeight,
    MountingPitch,
    MountingRoll,
    MountingYaw,
)
from pvd_core.borders.errors import UserError


def demo(
    bag: Annotated[Path | None, typer.Option(help="Bag to label; a simulated drive if left out.")] = None,
    topic: Annotated[str | None, typer.Option(help="PointCloud2 topic in the bag; its only one if left out.")] = None,
    rate: Annotated[float, typer.Option(min=0.01, help="2 plays twice as fast as recorded.")] = 1.0,
    seconds: Annotated[
        float | None, typer.Option(min=0.5, max=600, help="Length of the simulated drive; 12 if left out.")
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="Weights; those that ship with pvd if left out.")] = None,
    scans: Annotated[
        int, typer.Option(min=1, max=21, help="Scans fused by odometry: each cloud and those before it.")
    ] = 1,
    odometry: Annotated[str, typer.Option(help="Topic of a --bag with nav_msgs/Odometry, for --scans.")] = "",
    intensity_scale: IntensityScale = "auto",
    mounting_height: MountingHeight = USUAL_HEIGHT,
    mounting_roll: MountingRoll = 0.0,
    mounting_pitch: MountingPitch = 0.0,
    mounting_yaw: MountingYaw = 0.0,
    out: Annotated[Path, typer.Option(help="Folder for results; an earlier demo's are replaced.")] = Path("demo"),
) -> None:
    """Label a drive with the ROS 2 node, as on a vehicle, and show latency, accuracy and a picture.

    Needs neither GPU nor data. The mounting is that of a --bag; a simulated drive's is the usual one. Where rclpy is
    not installed, every cloud is labelled from the bag without the node.

    With --scans, past clouds are put behind each by odometry, and the IoU of what moves is compared with that of the
    same clouds alone.

    \b
    Examples:
      pvd demo
      pvd demo --seconds 5 --out demo_short
      pvd demo --scans 3
      pvd demo --bag drive.mcap --topic /points --rate 0.5
      pvd demo --bag drive.mcap --scans 3 --odometry /odom
      pvd demo --bag truck.mcap --mounting-height 3.2
    """
    from pvd_cli.demo.drive import check_simulation, given_drive, prepare_folder, simulated_drive
    from pvd_cli.demo.live import label_live, what_ctrl_c_left
    from pvd_cli.demo.offline import label_offline, why_no_node
    from pvd_cli.demo.results import compare_movers, judge, print_results, write_picture, write_report
    from pvd_cli.errors import interruptible
    from pvd_core import shipped_weights
    from pvd_core.borders.files import held_alone
    from pvd_core.clouds.intensity import check_intensity_scale
    from pvd_core.clouds.mounting import Mounting
    from pvd_core.weights import read_facts

    mounting = Mounting(mounting_height, mounting_roll, mounting_pitch, mounting_yaw)
    if bag is None and not mounting.is_usual:
        raise UserError("--mounting-... is for the clouds of a --bag; simulated drives have the usual mounting")
    if bag is not None and (scans > 1) != bool(odometry):
        raise UserError(
            "--scans puts past clouds behind those of a --bag by its --odometry TOPIC: give both, or neither"
        )
    if bag is None and odometry:
        raise UserError("--odometry is for a --bag; simulated drives bring their own")
    check_intensity_scale(intensity_scale)
    weights = weights or shipped_weights("multiscan" if scans > 1 else "default")
    read_facts(weights)
    # Before an earlier demo's results are removed.
    given = given_drive(bag, topic, out, odometry) if bag else None
    if given is None:
        check_simulation(topic)
    elif seconds is not None:
        print(f"note: --seconds is the length of a simulated drive; all of {bag} is labelled", flush=True)
    no_node = why_no_node()
    with (
        interruptible(lambda: what_ctrl_c_left(out)),
        held_alone(out, "running a demo"),
    ):
        out = prepare_folder(out)
        drive = given or simulated_drive(out, seconds or 12.0, topic, with_odometry=scans > 1)
        if no_node:
            print(f"note: {no_node}; labelling the bag without a node", flush=True)
            run = label_offline(drive, weights, intensity_scale, mounting, scans - 1, out)
        else:
            run = label_live(drive, weights, rate, intensity_scale, mounting, scans - 1, out)
        scores = judge(drive, run)
        movers = compare_movers(drive, run, weights, scores) if scores and scans > 1 else None
        picture = write_picture(drive, run, out)
        report = write_report(run, scores, movers, picture, out)
        print_results(report, scores, rate, movers, scans)
