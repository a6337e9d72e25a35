"""`pvd distill`: train a small network with the help of a large one."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pvd_cli import options
from pvd_cli.errors import optional_packages
from pvd_cli.training_runs import end_if_interrupted, settings_of, start_or_resume
from pvd_core.borders.errors import UserError

if TYPE_CHECKING:
    from training.run.config import TrainConfig

_SMALL_RUN = (
    "epochs=null",
    "max_steps=3",
    "batch_size=1",
    "validation.max_scans=1",
    "validation.every_steps=0",
    "schedule.warmup_steps=1",
    "model.name=cylinder3d-compact",
)


def distill(
    dataset: Annotated[Path | None, typer.Argument(help="Folder that holds `sequences`.")] = None,
    teacher: Annotated[
        list[Path] | None, typer.Option(help="Weights of the large network; repeated, several teach together.")
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="pvd (the default), or what it is compared with: kd, cd, ifv, skd, ka.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="New folder for the run: settings, logs, weights.")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file with settings.")] = None,
    columns: options.ColumnsSetting = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="One setting; may be repeated.")
    ] = None,
    resume: Annotated[Path | None, typer.Option(help="Continue the run in this folder.")] = None,
    time: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Measure what N steps cost, and how strong each term is.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="All steps, from a new teacher on, on a small simulated drive.")
    ] = False,
) -> None:
    """Train a student that learns from a teacher besides the labels.

    The student starts from random weights, from a weights file (--set initial_weights=FILE) or from a slice of a wider
    network's weights (the same with --set initial_slice=true). Coefficients are the paper's; each can be set.

    \b
    Examples:
      pvd distill kitti --teacher runs/teacher/best.safetensors --config config/distill.yaml --out runs/student
      pvd distill data/drive --teacher teacher.safetensors --method skd --set model.name=cylinder3d-0.5x --out runs/skd
      pvd distill data/drive --teacher t.safetensors --set distillation.settings.voxel_affinity=0.5 --out runs/more
      pvd distill data/drive --teacher runs/cubes --teacher runs/sectors --out runs/student
      pvd distill data/drive --teacher teacher.safetensors --time 20
      pvd distill --resume runs/student
      pvd distill --dry-run
    """
    with optional_packages("train", "distillation"):
        import training.run.loop  # noqa: F401 - to see whether its packages are installed

    overrides = [*options.columns_setting(columns), *(set_ or ())]
    if dry_run:
        if teacher or any(given is not None for given in (dataset, config, out, resume)):
            raise UserError(
                "--dry-run simulates a drive and trains a teacher and a student of its own; leave out DATASET, "
                "--teacher, --config, --out and --resume, or try yours with --time 3"
            )
        _dry_run(method or "pvd", overrides)
        return
    if resume is None:
        overrides = [*_chosen(method, config), *_naming(teacher or [], config), *overrides]
        if not _names_teacher(config, overrides):
            raise UserError("no teacher: name its weights with --teacher (`pvd train` makes some)")
    elif teacher or method is not None:
        raise UserError("--resume takes everything from the run's own folder; leave out --teacher and --method")
    if time is not None:
        if out is not None or resume is not None:
            raise UserError("--time measures and keeps nothing; leave out --out and --resume")
        _print_step_cost(settings_of(dataset, config, overrides), time)
    else:
        start_or_resume(dataset, out, config, overrides, resume)


def _chosen(method: str | None, config: Path | None) -> list[str]:
    """Overrides that choose the method; if the config file has settings of another method, they are left out."""
    in_file = _section_of(config)
    of_file = in_file.get("method", "pvd")
    method = method or of_file
    if method == of_file or not in_file.get("settings"):
        return [f"distillation.method={method}"]
    print(f"note: distillation.settings of {config} are those of {of_file} and left out", file=sys.stderr)
    return [f"distillation.method={method}", "distillation.settings={}"]


def _section_of(config: Path | None) -> dict[str, Any]:
    """The section of distillation in a config file; {} where there is none."""
    from pvd_core.borders.settings import read_yaml

    in_file = read_yaml(config).get("distillation") if config is not None else None
    return in_file if isinstance(in_file, dict) else {}


def _naming(teachers: list[Path], config: Path | None) -> list[str]:
    """Overrides that name the teachers, in place of all those of a config file; none where none is given."""
    if not teachers:
        return []
    if committee := _section_of(config).get("committee"):
        print(f"note: distillation.committee of {config} is left out: {committee}", file=sys.stderr)
    first, *others = map(str, teachers)
    return [f"distillation.teacher={json.dumps(first)}", f"distillation.committee={json.dumps(others)}"]


def _names_teacher(config: Path | None, overrides: list[str]) -> bool:
    from pvd_core.borders.settings import apply_overrides, read_yaml

    section = apply_overrides(read_yaml(config) if config is not None else {}, overrides).get("distillation")
    # What is no section is told by whoever reads the settings.
    return section.get("teacher") is not None if isinstance(section, dict) else section is not None


def _print_step_cost(settings: "TrainConfig", num_steps: int) -> None:
    from training.run.step_cost import step_cost

    cost = step_cost(settings, num_steps)
    assert settings.distillation is not None, "step_cost refuses settings without distillation"
    whose = "teacher's" if len(settings.distillation.teachers) == 1 else "teachers'"
    print(
        f"on the labels alone {cost.plain_ms:.0f} ms a step, the {whose} forward pass {cost.teacher_ms:.0f} ms, with "
        f"{settings.distillation.method} {cost.distilling_ms:.0f} ms a step: {cost.ratio:.2f} times the sum of the two"
    )
    named = ", ".join(f"{name} {share:.3g}" for name, share in cost.shares.items())
    print(f"gradient of each term over that of the labels, at the features that enter the classifier: {named}")


def _dry_run(method: str, overrides: list[str]) -> None:
    """Simulates a drive, trains a teacher and a student for some steps, distils, scores the result."""
    import tempfile

    from training.judge.evaluate import evaluate

    with optional_packages("sim", "--dry-run"):
        from training.simulate.dataset import write_dataset
    with tempfile.TemporaryDirectory(prefix="pvd_dry_run_") as folder:
        data = Path(folder, "data")
        print("1 of 4: simulating a drive", flush=True)
        write_dataset(data, train_sequences=("00",), valid_sequences=("08",), num_scans=2)
        print("2 of 4: training the teacher", flush=True)
        teacher = _trained(data, Path(folder, "teacher"), ["model.width=16"])
        print("3 of 4: training the student", flush=True)
        student = _trained(data, Path(folder, "student"), ["model.width=8"])
        print(f"4 of 4: distilling with {method}", flush=True)
        settings = (
            "model.width=8",
            f"initial_weights={student['last_weights']}",
            f"distillation.teacher={teacher['last_weights']}",
            f"distillation.method={method}",
        )
        summary = _trained(data, Path(folder, "distilled"), [*settings, *overrides])
        result = evaluate(data, summary["last_weights"], max_scans=1)
        print(
            f"dry run ended well: {result['num_points']:,} points scored after {summary['steps']} steps of each kind; "
            "nothing was kept"
        )


def _trained(data: Path, folder: Path, settings: list[str]) -> dict[str, Any]:
    """Trains for a few steps in the new folder; returns the summary of the run. typer.Exit where it is interrupted."""
    from training.run.config import load_config
    from training.run.distributed import check_single_process
    from training.run.loop import train
    from training.run.progress import ConsoleProgress

    check_single_process("pvd distill --dry-run")
    config = load_config(None, [f"dataset={data}", *_SMALL_RUN, *settings])
    summary = train(config, folder, progress=ConsoleProgress())
    assert summary is not None, "a run of one process returns its summary"
    end_if_interrupted(summary)
    return summary
