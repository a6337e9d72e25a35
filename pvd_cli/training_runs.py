"""What `pvd train` and `pvd distill` share: a run from its options, and what is said of it at the end."""

import typer

from pvd_cli.errors import EXIT_INTERRUPTED
from pvd_core.borders.errors import UserError
from pvd_core.borders.wording import counted


def start_or_resume(dataset, out, config, overrides, resume):
    """Runs a training by the options of a command; `resume`, the folder of a run, stands in for all the others."""
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
        settings, run_dir = settings_of(dataset, config, overrides), out
        if out is None:
            raise UserError("no folder for the run: name one with --out")
    summary = train(settings, run_dir, resume=resume is not None, progress=ConsoleProgress())
    # Of several processes one reports.
    if summary is not None:
        report(summary)


def settings_of(dataset, config, overrides):
    """TrainConfig of a new run on the folder `dataset`, by the file `config` or without one."""
    from training.run.config import load_config

    if dataset is None and config is None:
        raise UserError("no data: name the DATASET folder (`pvd simulate data/drive` makes one)")
    return load_config(config, [*overrides, *([f"dataset={dataset}"] if dataset is not None else [])])


def report(summary):
    print(
        f"{summary['stopped']} after {counted(summary['steps'], 'step')}, {summary['minutes']:.1f} minutes; "
        + (
            f"best mIoU {summary['best_miou']:.4f} at step {summary['best_step']}: {summary['weights']}"
            if summary["best_miou"] >= 0
            else "not validated yet, so no weights are written"
        )
    )
    if summary["stopped"] != "done":
        print(f"go on with: pvd train --resume {summary['run_dir']}")
    if summary["stopped"] == "interrupted":
        raise typer.Exit(EXIT_INTERRUPTED)
