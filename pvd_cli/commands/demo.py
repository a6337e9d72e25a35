"""`pvd demo`: simulate or take a bag, label it as on a vehicle, show what came out."""

from pathlib import Path
from typing import Annotated

import typer

from pvd_cli.cloud_options import IntensityScale


def demo(
    bag: Annotated[Path | None, typer.Option(help="Bag to label; a simulated drive if left out.")] = None,
    topic: Annotated[str | None, typer.Option(help="PointCloud2 topic in the bag; its only one if left out.")] = None,
    rate: Annotated[float, typer.Option(min=0.01, help="2 plays twice as fast as recorded.")] = 1.0,
    seconds: Annotated[
        float | None, typer.Option(min=0.5, max=600, help="Length of the simulated drive; 12 if left out.")
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="Weights; those that ship with pvd if left out.")] = None,
    intensity_scale: IntensityScale = "auto",
    out: Annotated[Path, typer.Option(help="Folder for results; an earlier demo's are replaced.")] = Path("demo"),
) -> None:
    """Label a drive with the ROS 2 node, as on a vehicle, and show latency, accuracy and a picture.

    Needs neither GPU nor data. Where rclpy is not installed, every cloud is labelled from the bag without the node.

    \b
    Examples:
      pvd demo
      pvd demo --seconds 5 --out demo_short
      pvd demo --bag drive.mcap --topic /points --rate 0.5
    """
    from pvd_cli.demo.drive import check_simulation, given_drive, prepare_folder, simulated_drive
    from pvd_cli.demo.live import label_live
    from pvd_cli.demo.offline import label_offline, why_no_node
    from pvd_cli.demo.results import judge, print_results, write_picture, write_report
    from pvd_cli.errors import interruptible
    from pvd_core import default_weights
    from pvd_core.borders.files import held_alone
    from pvd_core.clouds.intensity import check_intensity_scale
    from pvd_core.weights import read_facts

    check_intensity_scale(intensity_scale)
    weights = weights or default_weights()
    read_facts(weights)
    # Before an earlier demo's results are removed.
    given = given_drive(bag, topic, out) if bag else None
    if given is None:
        check_simulation(topic)
    elif seconds is not None:
        print(f"note: --seconds is the length of a simulated drive; all of {bag} is labelled", flush=True)
    no_node = why_no_node()
    with (
        interruptible(lambda: "player, node and recorder are stopped"),
        held_alone(out, "running a demo"),
    ):
        out = prepare_folder(out)
        drive = given or simulated_drive(out, seconds or 12.0, topic)
        if no_node:
            print(f"note: {no_node}; labelling the bag without a node", flush=True)
            run = label_offline(drive, weights, intensity_scale, out)
        else:
            run = label_live(drive, weights, rate, intensity_scale, out)
        scores = judge(drive, run)
        picture = write_picture(drive, run, out)
        report = write_report(run, scores, picture, out)
        print_results(report, scores, rate)
