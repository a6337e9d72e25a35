"""`pvd dataset`: makes and verifies the fixed benchmarks, checks any data set, cuts objects out of it."""

from pathlib import Path
from typing import Annotated

import typer

from pvd_cli import options
from pvd_cli.comma_lists import names_in
from pvd_cli.dataset_report import report_on
from pvd_cli.errors import interruptible, optional_packages
from pvd_core.borders.errors import UserError
from pvd_core.borders.wording import counted

EXIT_DATA_ERRORS = 1


def dataset(
    name: Annotated[
        str, typer.Argument(help="Benchmark: simulated, simulated-drives or real-33; or check; or instances.")
    ],
    folder: Annotated[Path, typer.Argument(help="Where its scans are, or are to be made.")],
    split: Annotated[str, typer.Option(help="Only these splits (check, instances: sequences); all if left out.")] = "",
    workers: Annotated[int, typer.Option(min=1, help="Processes that simulate.")] = 1,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Write the scans' fingerprints into config/benchmarks; for maintainers.")
    ] = False,
    columns: options.Columns = "4",
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Of check: also write all that is found to this file.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Of instances: the folder that they are cut into.")] = None,
    classes: Annotated[str, typer.Option(help="Of instances: names of classes; M2SKD's hard ones if left out.")] = "",
    taxonomy: Annotated[
        str, typer.Option(help="Of instances: the classes as which labels are read.")
    ] = "semantickitti",
) -> None:
    """Make and verify a benchmark's scans, check any data set, or cut its objects out.

    Simulated scans that are missing are made, also after an interrupt, and all are checked against the fingerprints
    that ship with pvd; recorded scans are only checked. If a folder does not match, the first scan that differs is
    named. Sequences, seeds and versions: config/benchmarks.

    `check` reads every scan and label file of a folder and lists all that is doubtful; it ends with exit code 1 where
    something must be mended. Training, distilling, evaluating and submitting check the scans that they use too. What
    was read is remembered by size and time of the files, in ~/.cache/pvd (PVD_CACHE_DIR names another folder).

    `instances` cuts the objects of hard classes (bicycle to motorcyclist) out of every scan, by the instance ids of the
    labels, into --out: training with M2SKD puts them onto later scans. Scans are those of the training sequences, or
    of --split; points with instance id 0, and ids that several things share (a person of 30 m), are left out and
    counted. Repeat the command to go on after an interrupt; cut into another folder after the labels have changed.

    \b
    Examples:
      pvd dataset simulated data/simulated --workers 2
      pvd dataset simulated data/held_out --split valid,test
      pvd dataset real-33 kitti
      pvd dataset check kitti
      pvd dataset check nuscenes --columns 5 --json doubtful.json
      pvd dataset instances kitti --out kitti_instances
      pvd evaluate data/held_out --benchmark simulated --split valid
    """
    from pvd_cli.progress import Steps

    if name != "instances" and (out is not None or classes):
        raise UserError("--out and --classes are for `pvd dataset instances FOLDER`")
    if name == "check":
        with interruptible(lambda: "what was read is remembered; repeat the command to go on"):
            is_good = report_on(folder, columns, names_in(split), json_file)
        raise typer.Exit(0 if is_good else EXIT_DATA_ERRORS)
    if name == "instances":
        from pvd_cli.instances_cut import cut_out

        if out is None:
            raise UserError("instances: give --out, the folder that the objects are cut into")
        with interruptible(lambda: f"what is cut stays in {out}; repeat the command to go on"):
            cut_out(folder, out, columns, names_in(split), names_in(classes), taxonomy)
        return
    if json_file is not None:
        raise UserError("--json is for `pvd dataset check FOLDER`; a benchmark has no report")
    with optional_packages("sim", "the simulator"):
        from training.data.benchmarks import benchmark_named, check, make
        from training.data.benchmarks import refresh as write_fingerprints
    benchmark = benchmark_named(name)
    splits = tuple(names_in(split))
    sequences = benchmark.sequences(splits)
    with interruptible(lambda: f"what is made stays in {folder}; repeat the command to go on"):
        if benchmark.world is not None:
            with Steps("simulating", "scans") as steps:
                make(benchmark, folder, splits, steps.show, workers)
        with Steps("verifying", "scans") as steps:
            if refresh:
                write_fingerprints(benchmark, folder, splits, steps.show)
            verdict = check(benchmark, folder, splits, steps.show)
    num_scans = counted(verdict.num_scans, "scan")
    print(f"{folder}: benchmark {benchmark.title}, {num_scans} of sequences {', '.join(sequences)}")
    if verdict.first_inexact is not None:
        print(
            f"the bytes differ from {verdict.first_inexact} on, as they do on another machine; every scan's points, "
            "range, intensity and classes agree within 0.5 %"
        )
    print(f"evaluate with: pvd evaluate {folder} --benchmark {name} --split {','.join(splits or benchmark.splits)}")
