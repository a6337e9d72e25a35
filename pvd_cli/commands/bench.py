"""`pvd bench`: time a cloud from points to labels on this machine."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pvd_cli import options
from pvd_cli.cloud_options import CLOUD_FILES
from pvd_cli.comma_lists import numbers_in, some_names_in
from pvd_cli.errors import interruptible
from pvd_core.borders.errors import UserError

if TYPE_CHECKING:
    from pvd_core.models import Network

# 100 as in the PVD paper. The other tables vary less, and some of their samples take seconds.
_RUNS, _RUNS_OF_PARTS = 100, 10
_GROWTH_POINTS = "10000,20000,50000,100000,200000,500000,1000000,2000000"


def bench(
    scans: Annotated[list[Path], typer.Argument(metavar="SCAN...", help=f"Scans ({CLOUD_FILES}) and folders.")],
    weights: options.Weights = None,
    model: Annotated[
        str | None, typer.Option(help="Networks by name instead, with random weights: cylinder3d-0.5x,cylinder3d-1x")
    ] = None,
    device: options.Device = "auto",
    backends: Annotated[
        str,
        typer.Option(help="Sparse engines to time, separated by commas: reference,native,spconv,spconv-triton,triton."),
    ] = "auto",
    precision: Annotated[str, typer.Option(help="Number formats to time, separated by commas.")] = "fp32",
    threads: Annotated[str, typer.Option(help="Numbers of threads, separated by commas; 0 leaves it to torch.")] = "0",
    beside: Annotated[
        str, typer.Option(help="Numbers of busy processes that run beside, separated by commas: 0,2")
    ] = "0",
    runs: Annotated[
        int | None,
        typer.Option(min=3, help=f"Samples of each row. {_RUNS}; {_RUNS_OF_PARTS} for the tables below."),
    ] = None,
    pool: Annotated[bool, typer.Option("--pool", help="One row for all scans: samples go round them.")] = False,
    layers: Annotated[bool, typer.Option("--layers", help="Instead: each layer against its products.")] = False,
    stages: Annotated[bool, typer.Option("--stages", help="Instead: each stage from points to labels.")] = False,
    growth: Annotated[bool, typer.Option("--growth", help="Instead: clouds of growing size.")] = False,
    points: Annotated[
        str | None, typer.Option(help=f"Sizes for --growth, separated by commas; {_GROWTH_POINTS} unless given.")
    ] = None,
    batch: Annotated[str | None, typer.Option(help="Instead: several clouds at once: 1,2,4,8")] = None,
    train: Annotated[bool, typer.Option("--train", help="Instead: a training step against inference.")] = False,
    macs: Annotated[bool, typer.Option("--macs", help="Instead: multiply-accumulates, means over all scans.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write everything to this file.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Also write the tables to this file.")] = None,
    columns: options.Columns = "4",
    force: Annotated[bool, typer.Option("--force", help="Replace these files if they exist.")] = False,
) -> None:
    """Time labelling on this machine.

    A row for each network, scan, backend, precision, number of threads and of busy processes beside. Rows for the same
    network and scan take turns, each in a process of its own. benchmarks/README.md explains every column. Ctrl-C keeps
    what was timed until then, marked as incomplete. There are no options for a mounting or for intensity: times do not
    depend on them, and labels are not kept.

    \b
    Examples:
      pvd bench scan.bin
      pvd bench scan.bin --threads 2 --beside 0,2
      pvd bench scan.bin --weights runs/first --threads 1,2 --runs 50
      pvd bench scan.bin --model cylinder3d-0.5x --device cpu --backends reference,spconv --precision fp32,bf16
      pvd bench sequences/08/velodyne --pool --json bench.json --markdown bench.md
      pvd bench scan.bin --layers --stages --precision bf16
      pvd bench scan.bin --growth --batch 1,2,4,8 --runs 5
      pvd bench scan.bin --growth --points 10000,100000
      pvd bench scan.bin --model cylinder3d-0.25x,cylinder3d-0.5x --train
      pvd bench sequences/08/velodyne --model spvcnn-1x,spvcnn-0.5x,minkunet-1x,minkunet-0.5x --macs
    """
    from pvd_cli import bench as measure
    from pvd_cli.bench.report import check_new_output, with_circumstances, write_result
    from pvd_cli.cloud_options import NotedClouds
    from pvd_cli.progress import Steps
    from pvd_core.clouds import find_clouds, read_cloud
    from pvd_core.clouds.stream import CloudStream
    from pvd_core.segmenter import resolve_device

    files = [path for path in (json_file, markdown) if path is not None]
    for path in files:
        check_new_output(path, force)
    if len(set(files)) < len(files):
        raise UserError(f"--json and --markdown both name {json_file}; name two files")
    clouds = {str(path): read_cloud(path, columns=columns) for path in find_clouds(scans)}
    engines: dict[str, Any] = {
        "device": resolve_device(device),
        "backends": some_names_in(backends, "--backends"),
        "precisions": some_names_in(precision, "--precision"),
        "threads": numbers_in(threads, "--threads", 0, 256),
        "beside": numbers_in(beside, "--beside", 0, 256),
    }
    tables: dict[str, Callable[..., dict[str, Any]]] = {}
    if stages:
        tables["stages"] = measure.stage_rows
    if layers:
        tables["layers"] = measure.layer_rows
    if points is not None and not growth:
        raise UserError(f"--points {points} is for --growth; add that, or leave --points out")
    if growth:
        sizes = numbers_in(_GROWTH_POINTS if points is None else points, "--points", 1, 100_000_000)
        tables["growth"] = partial(measure.growth_rows, sizes=sizes)
    if batch is not None:
        tables["batches"] = partial(measure.batch_rows, batch_sizes=numbers_in(batch, "--batch", 1, 1024))
    if train:
        tables["training"] = measure.training_rows
    if macs:
        tables["macs"] = measure.macs_rows
    if pool and tables:
        raise UserError(
            "--pool is for the main table; leave it out, or --layers, --stages, --growth, --batch, --train, --macs"
        )
    runs = runs or (_RUNS_OF_PARTS if tables else _RUNS)
    plan = measure.Plan(_networks(model, weights), clouds, runs=runs, **engines)
    noted = NotedClouds(CloudStream(intensity_scale=1.0))
    for name, cloud in clouds.items():
        noted.look_at(Path(name), cloud)
    tables = tables or {"rows": partial(measure.benchmark, pool=pool)}
    result: dict[str, Any] = {"rows": [], "skipped": [], "incomplete": list(tables)}
    kept: list[Path] = []
    with interruptible(lambda: _left_by(result, tables, kept)):
        try:
            for name, table in tables.items():
                with Steps(f"samples of {name}", "samples") as steps:
                    timed = table(plan, progress=steps.show)
                result[name] = timed["rows"]
                result["skipped"] += timed["skipped"]
                if timed["ended_by"] is None:
                    result["incomplete"].remove(name)
                # Written after each table, so that it is kept whatever ends the next one.
                kept[:] = write_result(with_circumstances(result, plan), json_file, markdown)
                if timed["ended_by"] is not None:
                    raise timed["ended_by"]
        finally:
            if any(result.get(name) for name in tables):
                print(measure.as_markdown(with_circumstances(result, plan)), end="", flush=True)
    if kept:
        print(f"wrote {_listed(kept)}")


def _left_by(result: Mapping[str, Any], tables: Iterable[str], kept: list[Path]) -> str:
    """What is said after Ctrl-C."""
    if kept:
        return f"kept {_listed(kept)}"
    return "what was timed is printed" if any(result.get(name) for name in tables) else "nothing had been timed yet"


def _listed(paths: Iterable[Path]) -> str:
    return ", ".join(map(str, paths))


def _networks(model: str | None, weights: Path | None) -> dict[str, "Network"]:
    """{name: network} of --model or --weights."""
    import torch

    from pvd_cli.view.networks import named_weights
    from pvd_core import default_weights
    from pvd_core.models import build_model
    from pvd_core.weights import load_model

    if model is None:
        path = weights or default_weights()
        return {name: load_model(file)[0] for name, file in named_weights([path]).items()}
    if weights is not None:
        raise UserError("--model times random weights, --weights those of a file; give one of the two")
    networks = {}
    for name in some_names_in(model, "--model"):
        torch.manual_seed(0)  # so that every run has the same weights and thus the same labels
        networks[name] = build_model(name)
    return networks
