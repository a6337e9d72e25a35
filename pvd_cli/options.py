"""Options that mean the same in several commands: their types, limits and help."""

import re
from pathlib import Path
from typing import Annotated

import typer


def _known_device(device: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise typer.BadParameter(f"{device!r}: expected auto, cpu, cuda or cuda:N")
    return device


def _known_precision(precision: str) -> str:
    from pvd_core.runtime.precision import PRECISIONS

    if precision not in ("auto", *PRECISIONS):
        raise typer.BadParameter(f"{precision!r}: expected auto, {', '.join(PRECISIONS)}")
    return precision


Weights = Annotated[
    Path | None,
    typer.Option(help="Weights, the folder of a training run, or a name that ships; default if left out."),
]
SeveralWeights = Annotated[
    list[Path] | None,
    typer.Option(
        "--weights",
        help="Weights, the folder of a training run, or a name that ships; default if left out. Several, each with "
        "--weights, vote on every point.",
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.", callback=_known_device)]
Precision = Annotated[
    str,
    typer.Option(help="Number format: auto, fp32, bf16; on GPUs also tf32, fp16.", callback=_known_precision),
]
Threads = Annotated[int, typer.Option(min=0, max=256, help="Threads of the network on the CPU; 0 leaves it to torch.")]
_COLUMNS = typer.Option(
    "--columns",
    metavar="N",
    help="Numbers a point in .bin files: 4 (x, y, z, intensity), 3 without intensity, 5 as in nuScenes; 4xfloat64; 4! "
    "where they look otherwise.",
)
Columns = Annotated[str, _COLUMNS]
ColumnsSetting = Annotated[str | None, _COLUMNS]  # None leaves it to the settings of a run
Votes = Annotated[int, typer.Option(min=1, max=8, help="Votes a scan: flipped, and from 5 on turned.")]


def use_threads(threads: int) -> None:
    """Lets torch use as many threads as --threads says; 0 changes nothing."""
    import torch

    if threads:
        torch.set_num_threads(threads)


def columns_setting(columns: str | None, name: str = "columns") -> list[str]:
    """--columns as an override of settings, KEY=VALUE; none where it was not given."""
    return [] if columns is None else [f"{name}={columns}"]
