"""Points from named columns: x, y, z, and whichever column holds the intensity. N points."""

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pvd_core.clouds.errors import CloudFileError

_INTENSITY_NAMES = ("intensity", "i", "remission", "reflectivity", "reflectance", "scalar_intensity")


def points_from_columns(path: Path, columns: Iterable[tuple[str, np.ndarray]]) -> np.ndarray:
    """float32 (N, 4): x, y, z, intensity, from (field name, column) pairs; a column is (N,) of any number type, or
    (N, C) where the field has C values a point. Upper and lower case are alike; the intensity is 0 if no field has one
    of its names. CloudFileError, which names the file `path`, if x, y or z is missing, or if one of the four is there
    twice or is no single number a point."""
    columns = list(columns)
    wanted = ("x", "y", "z", *_INTENSITY_NAMES)
    found = {name: column for name in wanted if (column := _column(path, columns, name)) is not None}
    missing = [name for name in "xyz" if name not in found]
    if missing:
        raise CloudFileError(
            f"{path}: no field {', '.join(missing)} among {_listed(columns) or 'no fields at all'}; "
            "fields x, y, z expected"
        )
    taken = [found[name] for name in wanted if name in found][:4]  # the first name of an intensity counts
    points = np.zeros((len(taken[0]), 4), dtype=np.float32)
    with np.errstate(over="ignore"):  # too large for float32 becomes inf, which is no measurement either
        for index, column in enumerate(taken):
            points[:, index] = column
    return points


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


def _column(path: Path, columns: list[tuple[str, np.ndarray]], wanted: str) -> np.ndarray | None:
    """(N,) of the field `wanted`; None if there is none."""
    found = [(name, column) for name, column in columns if name.lower() == wanted]
    if not found:
        return None
    if len(found) > 1:
        names = " and ".join(name for name, _ in found)
        raise CloudFileError(f"{path}: fields {names} found, one {wanted} expected; name all but one of them otherwise")
    name, column = found[0]
    if column.ndim != 1 or column.dtype.kind not in "fiub":
        kind = f"{math.prod(column.shape[1:])} values" if column.ndim != 1 else f"values of type {column.dtype}"
        raise CloudFileError(f"{path}: field {name} has {kind} a point, one number expected")
    return column


def _listed(columns: list[tuple[str, np.ndarray]]) -> str:
    return ", ".join(name for name, _ in columns)
