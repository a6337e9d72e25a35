"""How many numbers a point of a .bin file has and of which type: as the user says it, and as the numbers show it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from pvd_core.borders.errors import UserError

LEAST_COLUMNS, MOST_COLUMNS = 3, 16
_RECOGNISED_COLUMNS = range(LEAST_COLUMNS, 9)
# What BinColumns cannot be; the numbers do not always tell two types of 16 bits apart.
_FOREIGN_TYPES = {
    ">f4": "float32, big endian",
    ">f8": "float64, big endian",
    "<i4": "int32",
    "<f2": "float16 or int16",
    "<i2": "float16 or int16",
}
_BYTES_LOOKED_AT, _BYTES_JUDGED_BY_TYPE = 4_000_000, 96_000
# Fewer numbers may be close to each other by chance.
_LEAST_BYTES = 1600

# Coordinates, intensities, rings and times lie within these; bytes read as numbers of the wrong type mostly do not.
_LARGEST, _SMALLEST = 1e6, 1e-9
# Shares of such numbers among those of the right and of the wrong type.
_RIGHT, _WRONG, _LEAST_LEAD = 0.95, 0.85, 0.02
# Steps along the right columns are so much smaller than those along wrong ones; fewer steps say nothing.
_CLEARLY, _LEAST_STEPS = 0.25, 100
# Drivers write one place for all pulses that did not come back; no other holds so large a share of the points.
_SHARE_OF_NO_RETURN, _ROWS_DRAWN = 0.05, 1000


@dataclass(frozen=True)
class BinColumns:
    """The numbers of each point in a .bin file: x, y, z first, then the intensity if there are more; little endian, no
    header. `is_certain`: the user is sure, so files are not asked whether they look so."""

    number: int = 4
    is_float64: bool = False
    is_certain: bool = field(default=False, compare=False)

    @property
    def dtype(self) -> str:
        """Of one number, as NumPy names it."""
        return "<f8" if self.is_float64 else "<f4"

    @property
    def point_bytes(self) -> int:
        """Bytes of one point."""
        return self.number * (8 if self.is_float64 else 4)

    @property
    def option(self) -> str:
        """What `--columns` and the setting `columns` take for it."""
        return f"{self.number}xfloat64" if self.is_float64 else str(self.number)

    @property
    def names(self) -> str:
        """Of the columns, as far as they are known."""
        return "x, y, z" if self.number == 3 else f"x, y, z, intensity{', ...' if self.number > 4 else ''}"

    def __str__(self) -> str:
        return f"{self.number} columns of {'float64' if self.is_float64 else 'float32'}"

    def points(self, data: bytes) -> np.ndarray:
        """float32 (N, 4), read-only or a copy, of the first four columns of whole points; intensity 0 if there are
        three."""
        table = np.frombuffer(data, self.dtype).reshape(-1, self.number)[:, :4]
        with np.errstate(over="ignore"):  # too large for float32 becomes inf, which is no measurement either
            table = table.astype("<f4", copy=False)
        return table if self.number > 3 else np.pad(table, ((0, 0), (0, 1)))


FOUR_COLUMNS = BinColumns()
"""KITTI's: x, y, z, intensity as float32."""


def bin_columns(text: str | int | BinColumns) -> BinColumns:
    """The BinColumns that "4", "5", "4xfloat64" or, for the sure, "4!" stand for; UserError for anything else."""
    if isinstance(text, BinColumns):
        return text
    match = re.fullmatch(r"(\d{1,3})(?:x(float32|float64))?(!?)", str(text).strip())
    if match is None or not LEAST_COLUMNS <= int(match[1]) <= MOST_COLUMNS:
        raise UserError(
            f"columns is {text!r}: expected how many float32 numbers a point has in the .bin files, {LEAST_COLUMNS} to "
            f"{MOST_COLUMNS} (x, y, z, then intensity and more), or such as 4xfloat64 where they are float64; 4! where "
            "they look otherwise"
        )
    return BinColumns(int(match[1]), match[2] == "float64", is_certain=bool(match[3]))


def candidates(num_bytes: int) -> list[BinColumns]:
    """The usual columns that divide a file of so many bytes into whole points."""
    usual = [BinColumns(number, wide) for wide in (False, True) for number in _RECOGNISED_COLUMNS]
    return [columns for columns in usual if num_bytes % columns.point_bytes == 0]


def likely_columns(data: bytes, expected: BinColumns, among: Iterable[BinColumns]) -> BinColumns:
    """`expected`, or the one of `among` that the bytes of a file clearly fit better.

    Numbers of the wrong type are huge, tiny or not finite. Successive points of a scan are close in space, so numbers
    one row apart differ little if the row length is right; if it is wrong, they come from different columns. Points in
    random order show no clear difference.
    """
    data = data[: _BYTES_LOOKED_AT - _BYTES_LOOKED_AT % expected.point_bytes]
    if len(data) < _LEAST_BYTES or expected.is_certain:
        return expected
    is_float64 = _is_float64(data, expected.is_float64)
    same_type = [columns for columns in among if columns.is_float64 == is_float64]
    if not same_type:
        return expected
    numbers = np.frombuffer(data[: len(data) - len(data) % 8], "<f8" if is_float64 else "<f4")
    # Without a clear answer: as many columns as expected or, where they do not fit the size, as few as possible.
    default = BinColumns(expected.number, is_float64)
    if default != expected and default not in same_type:
        default = same_type[0]
    best = _best_columns(numbers, default, same_type)
    return best or default


def foreign_type(data: bytes) -> str | None:
    """The type of the numbers in a file, in words, if it clearly is one that BinColumns cannot be."""
    data = data[:_BYTES_JUDGED_BY_TYPE]
    if len(data) < _LEAST_BYTES or any(_finite_share(_numbers(data, usual)) > _RIGHT for usual in ("<f4", "<f8")):
        return None
    for dtype, name in _FOREIGN_TYPES.items():
        numbers = _numbers(data, dtype)
        is_usual_size = min(np.mean(np.abs(numbers) < _LARGEST), _finite_share(numbers)) > _RIGHT
        if is_usual_size and _best_columns(
            numbers, FOUR_COLUMNS, [BinColumns(number) for number in _RECOGNISED_COLUMNS]
        ):
            return name
    return None


def looks_like_points(numbers: np.ndarray) -> bool:
    """Whether nearly all of some coordinates are what a sensor could send, or stand for "no return" (NaN, inf, 0)."""
    return plausible_share(numbers) > _WRONG


def plausible_share(numbers: np.ndarray) -> float:
    """Share, 0..1, of numbers that are not finite, 0, or of a size that occurs; 1 where there are none."""
    with np.errstate(invalid="ignore"):
        sizes = np.abs(numbers)
    is_odd = ((sizes > _LARGEST) & (sizes < np.inf)) | ((sizes < _SMALLEST) & (sizes > 0))
    return 1 - np.count_nonzero(is_odd) / max(1, sizes.size)


def _numbers(data: bytes, dtype: str) -> np.ndarray:
    """Whole numbers in `data`, float64 (N,)."""
    with np.errstate(invalid="ignore"):
        return np.frombuffer(data[: len(data) - len(data) % np.dtype(dtype).itemsize], dtype).astype(np.float64)


def _is_float64(data: bytes, expected: bool) -> bool:
    whole = data[: len(data) - len(data) % 8]
    shares = {wide: _finite_share(np.frombuffer(whole, "<f8" if wide else "<f4")) for wide in (False, True)}
    # Rings are whole numbers, half of whose bytes are 0 in float64, so the wrong type may be wrong in few numbers.
    is_other = shares[not expected] > max(_RIGHT, shares[expected] + _LEAST_LEAD)
    return not expected if is_other else expected


def _finite_share(numbers: np.ndarray) -> float:
    """As `plausible_share`, of the numbers that are finite."""
    with np.errstate(invalid="ignore"):
        return plausible_share(numbers[np.isfinite(numbers)])


def _best_columns(numbers: np.ndarray, default: BinColumns, among: list[BinColumns]) -> BinColumns | None:
    """The one of `among` along whose columns the numbers differ clearly least; None if there is none."""
    lengths = {*_RECOGNISED_COLUMNS, default.number, *(columns.number for columns in among)}
    steps = {length: _median_step(numbers, length) for length in lengths}
    best = min(among, key=lambda columns: steps[columns.number])
    # Two rows apart the columns are the same too, so a multiple of the right length must be clearly better than it.
    for columns in sorted(among, key=lambda columns: columns.number):
        if best.number % columns.number == 0 and steps[best.number] >= _CLEARLY * steps[columns.number]:
            best = columns
            break
    others = [steps[length] for length in _RECOGNISED_COLUMNS if length % best.number]
    rivals = [float(np.median(others))] if others else []
    if default.number % best.number:
        rivals.append(steps[default.number])
    return best if all(steps[best.number] < _CLEARLY * rival for rival in rivals) else None


def _median_step(numbers: np.ndarray, row_length: int) -> float:
    """Median difference between numbers that are `row_length` apart; infinite where too few can be compared. Left out
    are rows without a return, whose neighbours in time are elsewhere, and equal numbers, which any padding has."""
    rows = numbers[: len(numbers) - len(numbers) % row_length].reshape(-1, row_length)
    rows = rows[~_is_no_return(rows)]
    with np.errstate(invalid="ignore", over="ignore"):  # differences that are not finite are left out below
        steps = np.abs(rows[1:] - rows[:-1])
    steps = steps[np.isfinite(steps) & (steps > 0)]
    return float(np.median(steps)) if len(steps) >= _LEAST_STEPS else np.inf


def _is_no_return(rows: np.ndarray) -> np.ndarray:
    """bool (N,): whether the x, y, z of a row are those of very many rows. `rows` (N, 3 or more)."""
    xyz = rows[:, :3]
    drawn = xyz[np.random.default_rng(0).integers(len(xyz), size=_ROWS_DRAWN)]
    places, counts = np.unique(drawn, axis=0, return_counts=True)
    is_one_N = np.zeros(len(xyz), bool)
    for place in places[counts > _SHARE_OF_NO_RETURN * _ROWS_DRAWN]:
        is_one_N |= (xyz == place).all(axis=1)
    return is_one_N
