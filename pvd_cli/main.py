"""The `pvd` command: its sub-commands, and how their errors reach the user."""

import signal
import sys
from collections.abc import Sequence

import typer

from pvd_cli.commands.ablate import ablate
from pvd_cli.commands.balance import balance
from pvd_cli.commands.bench import bench
from pvd_cli.commands.compare import compare
from pvd_cli.commands.convert import convert
from pvd_cli.commands.dataset import dataset
from pvd_cli.commands.demo import demo
from pvd_cli.commands.distill import distill
from pvd_cli.commands.doctor import doctor
from pvd_cli.commands.evaluate import evaluate
from pvd_cli.commands.label_bag import label_bag
from pvd_cli.commands.play_bag import play_bag
from pvd_cli.commands.predict import predict
from pvd_cli.commands.simulate import simulate
from pvd_cli.commands.submit import submit
from pvd_cli.commands.train import train
from pvd_cli.commands.view import view
from pvd_cli.commands.without_intensity import without_intensity
from pvd_cli.errors import EXIT_INTERRUPTED, EXIT_USER_ERROR, print_error
from pvd_core.borders.errors import UserError

COMMANDS = (
    demo,
    simulate,
    dataset,
    compare,
    train,
    distill,
    ablate,
    balance,
    without_intensity,
    evaluate,
    predict,
    label_bag,
    play_bag,
    convert,
    bench,
    submit,
    view,
    doctor,
)

app = typer.Typer(
    name="pvd",
    help="Semantic labels for every LiDAR point: make data, train, label scans, bags and live ROS 2 topics.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
for _command in COMMANDS:
    app.command(_command.__name__.replace("_", "-"))(_command)


def main() -> None:
    # Stopped by `timeout`, a container or CI: unwinds like Ctrl-C, so that half-written files are removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Runs one command line, without the program's name; returns its exit code."""
    command = typer.main.get_command(app)
    try:
        result = command.main(args=list(arguments) or ["--help"], prog_name="pvd", standalone_mode=False)
    except UserError as error:
        print_error(error)
        return EXIT_USER_ERROR
    except KeyboardInterrupt:
        result = EXIT_INTERRUPTED
    except Exception as error:
        # Mistakes on the command line itself; their class belongs to click or to typer, depending on the version.
        if not hasattr(error, "format_message"):
            raise
        path = getattr(getattr(error, "ctx", None), "command_path", "pvd")
        print_error(f"{error.format_message()} (`{path} --help` shows how it is used)")
        return EXIT_USER_ERROR
    return result if isinstance(result, int) else 0


if __name__ == "__main__":
    main()
