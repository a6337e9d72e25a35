"""`pvd dataset`: makes and verifies the fixed benchmarks."""

from pathlib import Path
from typing import Annotated

import typer

from pvd_cli.comma_lists import names_in
from pvd_cli.errors import interruptible, optional_packages
from pvd_core.borders.wording import counted


def dataset(
    name: Annotated[str, typer.Argument(help="Benchmark: simulated or real-33.")],
    folder: Annotated[Path, typer.Argument(help="Where its scans are, or are to be made.")],
    split: Annotated[str, typer.Option(help="Only these, such as valid or valid,test; all if left out.")] = "",
    workers: Annotated[int, typer.Option(min=1, help="Processes that simulate.")] = 1,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Write the scans' fingerprints into config/benchmarks; for maintainers.")
    ] = False,
) -> None:
    """Make and verify a benchmark's scans.

    Simulated scans that are missing are made, also after an interrupt, and all are checked against the fingerprints
    that ship with pvd; recorded scans are only checked. If a folder does not match, the first scan that differs is
    named. Sequences, seeds and versions: config/benchmarks.

    \b
    Examples:
      pvd dataset simulated data/simulated --workers 2
      pvd dataset simulated data/held_out --split valid,test
      pvd dataset real-33 kitti
      pvd evaluate data/held_out --benchmark simulated --split valid
    """
    from pvd_cli.progress import Steps

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
