"""The option --columns of every command that reads .bin files."""

from typing import Annotated

import typer

_OPTION = typer.Option(
    "--columns",
    metavar="N",
    help="Numbers a point in .bin files, x, y, z, intensity first: 4, or 5 as in nuScenes; 4xfloat64 for float64.",
)

Columns = Annotated[str, _OPTION]
ColumnsSetting = Annotated[str | None, _OPTION]
"""None leaves it to the settings of a run."""


def as_setting(columns: str | None, name: str = "columns") -> list[str]:
    """The option as an override of settings, KEY=VALUE; none where it was not given."""
    return [] if columns is None else [f"{name}={columns}"]
