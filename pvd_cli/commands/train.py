"""`pvd train`: supervised training on SemanticKITTI-format folders."""

from pathlib import Path
from typing import Annotated

import typer

from pvd_cli.errors import EXIT_INTERRUPTED, optional_packages
from pvd_core.errors import UserError

_DRY_RUN_SETTINGS = (
    "max_steps=3",
    "batch_size=1",
    "validation.max_scans=1",
    "validation.every_steps=0",
    "model.name=cylinder3d-compact",
)


def train(
    dataset: Annotated[Path | None, typer.Argument(help="Folder that holds `sequences`.")] = None,
    out: Annotated[Path | None, typer.Option(help="New folder for the run: settings, logs, weights.")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file with settings.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="One setting; may be repeated.")
    ] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with the run in this folder.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Three steps on a small simulated drive.")] = False,
):
    """Train a network on labelled scans.

    Settings come from --config, single ones from --set; the full settings are kept with the run.

    Ctrl-C ends a run with its state kept; --resume goes on to the same losses as without the break.

    \b
    Examples:
      pvd train data/drive --out runs/first
      pvd train data/drive --out runs/slow --set optimizer.learning_rate=5e-4 --set epochs=60
      pvd train kitti --config config/train.yaml --out runs/kitti
      pvd train --resume runs/first
      pvd train --dry-run
    """
    with optional_packages("train", "training"):
        from training.config import load_config
        from training.loop import train as run_training
        from training.progress import ConsoleProgress
        from training.run_folder import RunFolder, read_run_config

    overrides = list(set_ or ())
    if dry_run:
        return _dry_run(run_training, load_config, overrides)
    if resume is not None:
        if dataset or out or config:
            raise UserError(
                "--resume takes everything from the run's own folder; leave out DATASET, --out and --config"
            )
        read_run_config(resume)
        settings, run_dir = load_config(RunFolder(resume).config, overrides), resume
    else:
        if dataset is None and config is None:
            raise UserError("no data: name the DATASET folder (`pvd simulate data/drive` makes one)")
        if out is None:
            raise UserError("no folder for the run: name one with --out")
        overrides += [f"dataset={dataset}"] if dataset is not None else []
        settings, run_dir = load_config(config, overrides), out
    summary = run_training(settings, run_dir, resume=resume is not None, progress=ConsoleProgress())
    _report(summary)


def _dry_run(run_training, load_config, overrides):
    import tempfile

    from training.progress import ConsoleProgress

    with optional_packages("sim", "--dry-run"):
        from training.simulate.dataset import write_dataset
    with tempfile.TemporaryDirectory(prefix="pvd_dry_run_") as folder:
        data = Path(folder, "data")
        write_dataset(data, train_sequences=("00",), valid_sequences=("08",), num_scans=2)
        settings = load_config(None, [f"dataset={data}", *_DRY_RUN_SETTINGS, *overrides])
        summary = run_training(settings, Path(folder, "run"), progress=ConsoleProgress())
        print(f"dry run ended well: {summary['steps']} steps in {summary['minutes']:.1f} minutes; nothing was kept")


def _report(summary):
    print(
        f"{summary['stopped']} after {summary['steps']} steps, {summary['minutes']:.1f} minutes; "
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
