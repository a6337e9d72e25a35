"""`pvd ablate`: a grid of trainings, several seeds each, and its table beside the paper's."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pvd_cli import options
from pvd_cli.comma_lists import names_in
from pvd_cli.errors import interrupted_by, optional_packages
from pvd_core.borders.errors import UserError
from pvd_core.borders.wording import counted

if TYPE_CHECKING:
    from training.ablation.grid import GridConfig
    from training.ablation.plan import Plan


def ablate(
    grid: Annotated[Path, typer.Argument(help="YAML file of a grid, such as those in config/ablations.")],
    data: Annotated[Path, typer.Option(help="Folder that holds `sequences`.")],
    out: Annotated[Path, typer.Option(help="Folder for the runs and the results; unfinished runs are continued.")],
    seeds: Annotated[str, typer.Option(help="Such as 0,1,2; those of the file if left out.")] = "",
    only: Annotated[str, typer.Option(help="Rows to run, such as kd,pvd, with what they need; all if left out.")] = "",
    columns: options.ColumnsSetting = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="One key of the grid file, a row's by its name; may be repeated."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the runs, measure some steps, tell the time.")
    ] = False,
) -> None:
    """Train a grid of networks and write its table.

    Runs are done seed by seed, so that an unfinished table is a fair comparison too. If it was killed, the same command
    continues. It may be started several times with the same --out, also on several machines: the processes share the
    runs. Grids with the same --out share the teachers, the students and every row that has the same name.

    Results are in OUT/NAME, where NAME is the name in the grid file: results.json, results.md, results.png, and for a
    table of methods NAME_methods.json.

    \b
    Examples:
      pvd ablate config/ablations/table1.yaml --data kitti --out runs/table1
      pvd ablate config/ablations/table1_cpu.yaml --data data/simulated --out runs/methods --dry-run
      pvd ablate config/ablations/table3.yaml --data data/simulated --out runs/methods --set base=cpu.yaml
      pvd ablate config/ablations/table3.yaml --data kitti --out runs/table3 --seeds 0 --only none,aff_v
      pvd ablate config/ablations/table2.yaml --data kitti --out runs/table2 --set teacher.weights=t.safetensors
      pvd ablate config/ablations/table3.yaml --data kitti --out runs/table3 --set rows.none.settings.max_steps=100
    """
    with optional_packages("train", "training"):
        from training.ablation.grid import read_grid
        from training.ablation.plan import make_plan
        from training.run.distributed import check_single_process

    check_single_process("pvd ablate", ", as often as you like; processes with the same --out share the runs out")
    overrides = [
        *options.columns_setting(columns, "settings.columns"),
        *(set_ or ()),
        *([f"seeds={_whole_numbers(seeds)}"] if seeds else []),
    ]
    settings = read_grid(grid, overrides)
    plan = make_plan(settings, data, out, names_in(only))
    if dry_run:
        _print_estimate(plan, data)
    else:
        _run(settings, plan, data, out)


def _whole_numbers(text: str) -> list[int]:
    try:
        return [int(number) for number in names_in(text)]
    except ValueError:
        raise UserError(f"--seeds is {text!r}: expected whole numbers such as 0,1,2") from None


def _run(grid: "GridConfig", plan: "Plan", data: Path, out: Path) -> None:
    from training.ablation.plan import prepare_data
    from training.ablation.results import write_results
    from training.ablation.worker import RunInterruptedError, work
    from training.run.progress import ConsoleProgress

    prepare_data(grid, data, out)
    results = Path(out, grid.name)
    try:
        failed = work(plan, ConsoleProgress, on_finished=lambda: write_results(grid, plan, data, results))
    except RunInterruptedError as stop:
        print("interrupted: its state is kept; the same command goes on")
        raise interrupted_by(stop.signal_name) from None
    # Even if all runs were finished before: the notes in the grid file may have changed.
    write_results(grid, plan, data, results)
    print(Path(results, "results.md").read_text(encoding="utf-8"))
    if failed:
        reasons = "; ".join(f"{name}: {message}" for name, message in failed.items())
        raise UserError(f"{len(failed)} of {len(plan.runs)} runs have failed: {reasons}")


def _print_estimate(plan: "Plan", data: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    from training.ablation.estimate import estimate

    estimates = estimate(plan, data)
    table = Table()
    for name in ("run", "steps", "s a step", "minutes left"):
        table.add_column(name, justify="left" if name == "run" else "right")
    for each in estimates:
        left = "finished" if each.is_finished else f"{each.minutes:.1f}"
        table.add_row(each.name, f"{each.num_steps:,}", f"{each.step_s:.3f}", left)
    Console(highlight=False).print(table)
    total = sum(each.minutes for each in estimates)
    print(
        f"{counted(len(estimates), 'run')}, about {total / 60:.1f} hours on this machine, one run at a time, "
        "if nothing else runs"
    )
