"""Points from named columns: x, y, z, and whichever column holds the intensity. N points."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pvd_core.clouds.errors import CloudFileError

# Tried in this order if no field is named. `reflectivity` comes last, because sensors that send both calibrate it
# differently.
INTENSITY_NAMES = ("intensity", "intensities", "i", "remission", "reflectance", "reflectivity")
# Fields that drivers send beside it, and that hold something else.
_NEVER_INTENSITY = {
    "x", "y", "z", "t", "time", "timestamp", "time_stamp", "offset_time", "time_offset", "ring", "line", "laser_id",
    "channel", "beam", "column", "row", "tag", "range", "distance", "azimuth", "elevation", "rgb", "rgba", "r", "g",
    "b", "a", "red", "green", "blue", "alpha", "label", "instance", "confidence", "return_type", "return_mode",
    "normal_x", "normal_y", "normal_z", "nx", "ny", "nz", "curvature", "velocity", "doppler", "_",
}  # fmt: skip


_Field = tuple[str, np.ndarray]  # name, and values (N,) or (N, C)


class FilePoints(NamedTuple):
    """points: float32 (N, 4), perhaps read-only: x, y, z, intensity; 0 where there is none. other_fields: names of
    those that might hold it besides."""

    points: np.ndarray
    other_fields: tuple[str, ...] = ()


def plain_name(field: str) -> str:
    """The name by which a field is known: in lower case, and without what CloudCompare puts before it."""
    return field.lower().removeprefix("scalar_")


def may_be_intensity(field: str) -> bool:
    """Whether a field of this name might hold the intensity."""
    return plain_name(field) not in _NEVER_INTENSITY


def points_from_columns(path: Path, columns: Iterable[tuple[str, np.ndarray]], intensity_field: str = "") -> FilePoints:
    """Points from (field name, column) pairs; a column is (N,) of any number type, or (N, C) where the field has C
    values a point. `intensity_field`: name of the field that holds the intensity; "" takes the first of
    INTENSITY_NAMES that is there. Upper and lower case are alike. CloudFileError, which names the file `path`, if x, y,
    z or the `intensity_field` is missing, or if one of those that are read is there twice or is no single number a
    point."""
    columns = list(columns)
    found = [_named(columns, name) for name in "xyz"]
    if missing := [name for name, each in zip("xyz", found, strict=True) if not each]:
        raise CloudFileError(
            f"{path}: no field {', '.join(missing)} among {_listed(columns) or 'no fields at all'}; "
            "fields x, y, z expected"
        )
    if intensity_field:
        found.append([each for each in columns if each[0] == intensity_field])
        if not found[-1]:
            raise CloudFileError(
                f"{path}: no field {intensity_field!r}, which is to hold the intensity, among {_listed(columns)}"
            )
    else:
        found += [each for each in (_named(columns, name) for name in INTENSITY_NAMES) if each][:1]
    taken = dict(_single(path, each) for each in found)
    points = np.zeros((len(found[0][0][1]), 4), dtype=np.float32)
    with np.errstate(over="ignore"):  # too large for float32 becomes inf, which is no measurement either
        for index, column in enumerate(taken.values()):
            points[:, index] = column
    others = [name for name, column in columns if _is_number(column) and name not in taken and may_be_intensity(name)]
    return FilePoints(points, tuple(others))


def check_has_fields(path: Path, intensity_field: str) -> None:
    """CloudFileError if an `intensity_field` is asked for; for files whose numbers have no names."""
    if intensity_field:
        raise CloudFileError(
            f"{path}: its numbers have no names, so there is no field {intensity_field!r} to hold the intensity; label "
            "this file without that option"
        )


def check_separators(path: Path, text: bytes) -> None:
    """CloudFileError if `text`, the points of a file as text, has commas or semicolons, which would be misread."""
    if b"," in text or b";" in text:
        line = next(line for line in text.splitlines() if b"," in line or b";" in line)[:80].decode(errors="replace")
        raise CloudFileError(
            f"{path}: a line of its points is {line!r}, numbers with decimal points and spaces between them are "
            "expected; replace commas and semicolons, and write the file again"
        )


def check_left_over(path: Path, data: memoryview, num_points: int) -> None:
    """CloudFileError if `data`, what follows the `num_points` points that a header declares, holds more than padding
    by zeros or white space."""
    if bytes(data).strip(b"\0 \t\r\n"):
        raise CloudFileError(
            f"{path}: {len(data)} bytes are left over after the {num_points} points that its header declares; is the "
            "header of another file, or was it not updated at the end of writing? Correct its number of points"
        )


def _named(columns: list[_Field], wanted: str) -> list[_Field]:
    return [(name, column) for name, column in columns if plain_name(name) == wanted]


def _single(path: Path, found: list[_Field]) -> _Field:
    """The only one of `found`."""
    if len(found) > 1:
        names = " and ".join(name for name, _ in found)
        raise CloudFileError(f"{path}: fields {names} found, one of them expected; name the others otherwise")
    name, column = found[0]
    if not _is_number(column):
        kind = f"{math.prod(column.shape[1:])} values" if column.ndim != 1 else f"values of type {column.dtype}"
        raise CloudFileError(f"{path}: field {name} has {kind} a point, one number expected")
    return name, column


def _is_number(column: np.ndarray) -> bool:
    return column.ndim == 1 and column.dtype.kind in "fiub"


def _listed(columns: list[_Field]) -> str:
    return ", ".join(name for name, _ in columns)
