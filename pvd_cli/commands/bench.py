"""`pvd bench`: time a cloud from points to labels on this machine."""

import json
from pathlib import Path
from typing import Annotated

import typer

from pvd_cli.errors import interruptible
from pvd_core.errors import UserError


def bench(
    scans: Annotated[list[Path], typer.Argument(metavar="SCAN...", help="Scans (.bin, .npy, .pcd, .ply) and folders.")],
    weights: Annotated[Path | None, typer.Option(help="Weights; those that ship with pvd if left out.")] = None,
    model: Annotated[
        str | None, typer.Option(help="A network by name instead, with random weights: cylinder3d-0.5x, ...")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    backends: Annotated[str, typer.Option(help="Sparse engines to time, separated by commas.")] = "reference",
    precision: Annotated[str, typer.Option(help="Number formats to time, separated by commas.")] = "fp32",
    threads: Annotated[int, typer.Option(min=0, max=256, help="Threads of the network; 0 leaves it to torch.")] = 0,
    runs: Annotated[int, typer.Option(min=3, help="Repeats of each measurement.")] = 20,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the rows to this file.")] = None,
):
    """Time labelling on this machine.

    A row for each scan, backend and precision, after warm-up.

    floor_ms is the time of the network's bare matrix products on the same machine; ratio_to_floor is what the rest
    costs.

    \b
    Examples:
      pvd bench scan.bin
      pvd bench scan.bin --weights runs/first/best.safetensors --threads 1 --runs 50
      pvd bench scan.bin --model cylinder3d-0.5x --device cpu --backends reference --precision fp32 --json bench.json
    """
    import torch

    from pvd_cli.progress import Steps
    from pvd_core import default_weights
    from pvd_core.benchmark import as_table, benchmark
    from pvd_core.clouds import find_clouds, read_cloud
    from pvd_core.files import written_atomically
    from pvd_core.models import build_model
    from pvd_core.segmenter import resolve_device
    from pvd_core.weights import load_model

    if model is not None and weights is not None:
        raise UserError("--model times random weights, --weights those of a file; give one of the two")
    if threads:
        torch.set_num_threads(threads)
    clouds = {str(path): read_cloud(path) for path in find_clouds(scans)}
    network = build_model(model) if model is not None else load_model(weights or default_weights())[0]
    with interruptible(lambda: "nothing was kept"), Steps("timing", "runs") as steps:
        result = benchmark(
            network,
            clouds,
            resolve_device(device),
            runs=runs,
            backends=_names(backends, "--backends"),
            precisions=_names(precision, "--precision"),
            progress=steps.show,
        )
    hardware = result["hardware"]
    print(
        f"{hardware['gpu'] or hardware['cpu']}, {hardware['threads']} threads, torch {hardware['torch']}, {runs} runs"
    )
    print(as_table(result["rows"]))
    if json_file is not None:
        with written_atomically(json_file) as temporary:
            temporary.write_text(json.dumps(result, indent=2) + "\n")
        print(f"wrote {json_file}")


def _names(text, option):
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UserError(f"{option} is empty: name one or more, separated by commas")
    return names
