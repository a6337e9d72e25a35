"""What `pvd train` and `pvd distill` share: starting or resuming a run, and the line printed at its end."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pvd_cli.errors import interrupted_by, interruptible
from pvd_core.borders.errors import UserError
from pvd_core.borders.wording import counted

if TYPE_CHECKING:
    from training.run.config import TrainConfig


def start_or_resume(
    dataset: Path | None, out: Path | None, config: Path | None, overrides: Iterable[str], resume: Path | None
) -> None:
    """Runs a training by the options of a command and prints how it ended.

    resume: the folder of a run to be continued, instead of `dataset`, `out` and `config`. overrides: KEY=VALUE.
    typer.Exit where it is interrupted, UserError for options that do not fit together.
    """
    from training.run.config import load_config
    from training.run.loop import train
    from training.run.progress import ConsoleProgress
    from training.run.run_folder import RunFolder, read_run_config

    if resume is not None:
        if dataset or out or config:
            raise UserError(
                "--resume takes everything from the run's own folder; leave out DATASET, --out and --config"
            )
        read_run_config(resume)
        settings, run_dir = load_config(RunFolder(resume).config, overrides), resume
    else:
        settings = settings_of(dataset, config, overrides)
        if out is None:
            raise UserError("no folder for the run: name one with --out")
        run_dir = out
    with interruptible(lambda: _what_is_kept(run_dir)):
        summary = train(settings, run_dir, resume=resume is not None, progress=ConsoleProgress())
    # If there are several processes, only one gets the summary.
    if summary is not None:
        _report(summary)


def _what_is_kept(run_dir: Path) -> str:
    from training.run.run_folder import RunFolder

    if not RunFolder(run_dir).checkpoint.exists():
        return "nothing was trained yet"
    return f"the run is kept as its last checkpoint has it; go on with: pvd train --resume {run_dir}"


def settings_of(dataset: Path | None, config: Path | None, overrides: Iterable[str]) -> "TrainConfig":
    """Settings of a new run on the folder `dataset`: those of the file `config`, or the defaults, with `overrides`.
    UserError where there is neither a dataset nor a file."""
    from training.run.config import load_config

    if dataset is None and config is None:
        raise UserError("no data: name the DATASET folder (`pvd simulate data/drive` makes one)")
    return load_config(config, [*overrides, *([f"dataset={dataset}"] if dataset is not None else [])])


def _report(summary: Mapping[str, Any]) -> None:
    print(
        f"{summary['stopped']} after {counted(summary['steps'], 'step')}, {summary['minutes']:.1f} minutes; "
        + (
            f"best mean IoU {100 * summary['best_miou']:.1f} % at step {summary['best_step']}: {summary['weights']}"
            if summary["best_miou"] >= 0
            else "not validated yet, so no weights are written"
        )
    )
    if summary["stopped"] != "done":
        print(f"go on with: pvd train --resume {summary['run_dir']}")
    end_if_interrupted(summary)


def end_if_interrupted(summary: Mapping[str, Any]) -> None:
    """typer.Exit with the signal's exit code where the training with this summary was interrupted."""
    if summary["stopped"] == "interrupted":
        raise interrupted_by(summary["signal"])
