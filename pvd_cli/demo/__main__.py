"""`python -m pvd_cli.demo`: simulate or take a bag, label it with player, node and recorder, show what came out."""

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from pvd_cli.errors import EXIT_INTERRUPTED, EXIT_USER_ERROR, optional_packages, print_error
from pvd_core.borders.errors import UserError


def demo(
    bag: Annotated[Path | None, typer.Option(help="Bag to label; a simulated drive if left out.")] = None,
    topic: Annotated[str | None, typer.Option(help="PointCloud2 topic in the bag; its only one if left out.")] = None,
    rate: Annotated[float, typer.Option(min=0.01, help="2 plays twice as fast as recorded.")] = 1.0,
    seconds: Annotated[float, typer.Option(min=0.5, max=600, help="Length of the simulated drive.")] = 12.0,
    weights: Annotated[Path | None, typer.Option(help="Weights; those that ship with pvd if left out.")] = None,
    intensity_scale: Annotated[float, typer.Option(help="Factor that brings intensity to 0..1.")] = 1.0,
    out: Annotated[Path, typer.Option(help="Folder for results; an earlier demo's are replaced.")] = Path("demo"),
):
    """Label a drive with the ROS 2 node, as on a vehicle, and show latency, accuracy and a picture.

    \b
    Examples:
      python -m pvd_cli.demo
      python -m pvd_cli.demo --bag drive.mcap --topic /points --rate 0.5
    """
    from pvd_cli.demo.drive import given_drive, prepare_folder, simulated_drive
    from pvd_cli.demo.live import label_live
    from pvd_cli.demo.results import judge, print_results, write_picture, write_report
    from pvd_core import default_weights
    from pvd_core.borders.files import held_alone
    from pvd_core.weights import read_facts

    with optional_packages("ros", "the demo"):
        import diagnostic_msgs.msg  # noqa: F401 - late and by name, to say so before any work is done
        import rclpy  # noqa: F401
    weights = weights or default_weights()
    read_facts(weights)
    # Before an earlier demo's results are removed.
    given = given_drive(bag, topic, out) if bag else None
    with held_alone(out, "running a demo"):
        out = prepare_folder(out)
        drive = given or simulated_drive(out, seconds, topic)
        run = label_live(drive, weights, rate, intensity_scale, out)
        scores = judge(drive, run)
        picture = write_picture(drive, run, out)
        report = write_report(run, scores, picture, out)
        print_results(report, scores)


def main():
    # Stopped by `timeout`, CI or make: unwinds like Ctrl-C, so that the child processes end too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)
    app.command()(demo)
    try:
        code = app(standalone_mode=False)
    except UserError as error:
        print_error(error)
        code = EXIT_USER_ERROR
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        print_error(error.format_message())
        code = EXIT_USER_ERROR
    if code == EXIT_INTERRUPTED:
        print("interrupted: player, node and recorder are stopped", file=sys.stderr)
    sys.exit(code or 0)


if __name__ == "__main__":
    main()
