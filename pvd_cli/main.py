"""The `pvd` command: its sub-commands, and how their errors reach the user."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from pvd_cli.commands.ablate import ablate
from pvd_cli.commands.adapt import adapt
from pvd_cli.commands.balance import balance
from pvd_cli.commands.bench import bench
from pvd_cli.commands.calibrate import calibrate
from pvd_cli.commands.compare import compare
from pvd_cli.commands.convert import convert
from pvd_cli.commands.dataset import dataset
from pvd_cli.commands.demo import demo
from pvd_cli.commands.distill import distill
from pvd_cli.commands.doctor import doctor
from pvd_cli.commands.evaluate import evaluate
from pvd_cli.commands.export import export
from pvd_cli.commands.label_bag import label_bag
from pvd_cli.commands.label_bags import label_bags
from pvd_cli.commands.play_bag import play_bag
from pvd_cli.commands.predict import predict
from pvd_cli.commands.pseudo_label import pseudo_label
from pvd_cli.commands.simulate import simulate
from pvd_cli.commands.submit import submit
from pvd_cli.commands.train import train
from pvd_cli.commands.view import view
from pvd_cli.commands.without_intensity import without_intensity
from pvd_cli.empty_paths import check_no_empty_path
from pvd_cli.errors import (
    EXIT_BROKEN_PIPE,
    EXIT_USER_ERROR,
    drop_unread_output,
    is_closed_pipe,
    print_error,
)
from pvd_cli.stops import EXIT_INTERRUPTED, forget_stops, stop_behind, stop_code
from pvd_cli.version import program_version
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
    calibrate,
    adapt,
    pseudo_label,
    evaluate,
    predict,
    label_bag,
    label_bags,
    export,
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
_BY_NAME = {command.__name__.replace("_", "-"): command for command in COMMANDS}
for _name, _command in _BY_NAME.items():
    app.command(_name)(_command)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        print(f"pvd {program_version()}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    pass


def run(arguments: Sequence[str]) -> int:
    """Runs one command line, without the program's name; returns its exit code."""
    forget_stops()
    try:
        code = _run(list(arguments) or ["--help"])
        sys.stdout.flush()
        return code
    except (BrokenPipeError, SystemExit) as error:
        if not is_closed_pipe(error):
            raise
        drop_unread_output()
        return EXIT_BROKEN_PIPE


def _run(arguments: list[str]) -> int:
    command = typer.main.get_command(app)
    try:
        if arguments[0] in _BY_NAME:
            check_no_empty_path(_BY_NAME[arguments[0]], arguments[1:])
        result = command.main(args=arguments, prog_name="pvd", standalone_mode=False)
    except UserError as error:
        print_error(error)
        return EXIT_USER_ERROR
    except KeyboardInterrupt:
        result = EXIT_INTERRUPTED
    except Exception as error:
        # Some versions of typer turn Ctrl-C into an exception of their own.
        stop = stop_behind(error)
        if stop is not None:
            return stop_code(stop)
        # Mistakes on the command line itself; their class belongs to click or to typer, depending on the version.
        if not hasattr(error, "format_message"):
            raise
        path = getattr(getattr(error, "ctx", None), "command_path", "pvd")
        print_error(f"{error.format_message()} (`{path} --help` shows how it is used)")
        return EXIT_USER_ERROR
    return result if isinstance(result, int) else 0
