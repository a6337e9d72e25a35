"""The option --columns of every command that reads .bin files."""

from typing import Annotated

import typer

Columns = Annotated[
    str,
    typer.Option(
        "--columns",
        metavar="N",
        help="Numbers a point in .bin files, x, y, z, intensity first: 4, or 5 as in nuScenes; 4xfloat64 for float64.",
    ),
]
