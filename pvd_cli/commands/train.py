"""`pvd train`: supervised training on SemanticKITTI-format folders."""

from pathlib import Path
from typing import Annotated

import typer

from pvd_cli import options
from pvd_cli.errors import optional_packages
from pvd_cli.training_runs import end_if_interrupted, settings_of, start_or_resume
from pvd_core.borders.errors import UserError
from pvd_core.borders.wording import counted

_FEW_STEPS = (
    "epochs=null",
    "max_steps=3",
    "schedule.warmup_steps=1",
    "validation.max_scans=1",
    "validation.every_steps=0",
)
_SMALL = ("batch_size=1", "model.name=cylinder3d-compact")


def train(
    dataset: Annotated[Path | None, typer.Argument(help="Folder that holds `sequences`.")] = None,
    out: Annotated[Path | None, typer.Option(help="New folder for the run: settings, logs, weights.")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file with settings.")] = None,
    columns: options.ColumnsSetting = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="One setting; may be repeated.")
    ] = None,
    resume: Annotated[Path | None, typer.Option(help="Continue the run in this folder.")] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Three steps by these settings; on a small simulated drive without DATASET and --config."
        ),
    ] = False,
) -> None:
    """Train a network on labelled scans.

    Settings come from --config, single ones from --set; the full settings are kept with the run.

    For several processes, one for each GPU, start it with torchrun. batch_size counts the scans of all processes
    together, and the losses are the same as with one process.

    Ctrl-C ends a run and keeps its state; with --resume it continues to the same losses as without the break.

    \b
    Examples:
      pvd train data/drive --out runs/first
      pvd train data/drive --out runs/slow --set optimizer.learning_rate=5e-4 --set epochs=60
      pvd train kitti --config config/train.yaml --out runs/kitti
      pvd train --resume runs/first
      torchrun --nproc-per-node 8 -m pvd_cli train kitti --out runs/kitti --set batch_size=16
      pvd train kitti --config config/train.yaml --dry-run
      pvd train --dry-run
    """
    with optional_packages("train", "training"):
        import training.run.loop  # noqa: F401 - to see whether its packages are installed

    overrides = [*options.columns_setting(columns), *(set_ or ())]
    if dry_run:
        if out is not None or resume is not None:
            raise UserError("--dry-run keeps nothing and goes on with nothing; leave out --out and --resume")
        _dry_run(dataset, config, overrides)
    else:
        start_or_resume(dataset, out, config, overrides, resume)


def _dry_run(dataset: Path | None, config: Path | None, overrides: list[str]) -> None:
    """Trains for a few steps with the data, network and batch that the options choose, in a temporary folder."""
    import tempfile

    from training.run.loop import train as run_training
    from training.run.progress import ConsoleProgress

    with tempfile.TemporaryDirectory(prefix="pvd_dry_run_") as folder:
        if dataset is None and config is None:
            dataset, overrides = _simulated(Path(folder, "data")), [*_SMALL, *overrides]
        settings = settings_of(dataset, config, [*overrides, *_FEW_STEPS])
        summary = run_training(settings, Path(folder, "run"), progress=ConsoleProgress())
    # If there are several processes, only one gets the summary.
    if summary is not None:
        end_if_interrupted(summary)
        steps = counted(summary["steps"], "step")
        print(f"dry run ended well: {steps} in {summary['minutes']:.1f} minutes; nothing was kept")


def _simulated(folder: Path) -> Path:
    with optional_packages("sim", "--dry-run"):
        from training.simulate.dataset import write_dataset
    return write_dataset(folder, train_sequences=("00",), valid_sequences=("08",), num_scans=2)
