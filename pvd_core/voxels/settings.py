"""Checks of the settings of grids."""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeGuard

from pvd_core.borders.wording import shown


def check_names(kind: str, grid: type, settings: Mapping[str, Any]) -> None:
    """ValueError for a setting that is no field of `grid`, a dataclass, the grids of this kind."""
    known = [field.name for field in dataclasses.fields(grid)]
    for name in settings:
        if name not in known:
            raise ValueError(f"unknown grid setting {shown(name)}: a {kind} grid has {', '.join(known)}")


def check_time(value: object) -> None:
    """ValueError for a setting `time` that is neither true nor false."""
    if type(value) is not bool:
        raise ValueError(f"grid time is {shown(value)}: expected true or false")


def is_number(value: object) -> TypeGuard[float]:
    """Whether a setting is an int or a float: true and false are none, nor is text."""
    return type(value) in (int, float)
