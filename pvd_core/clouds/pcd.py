"""Point Cloud Library files (.pcd 0.5 to 0.7): ascii, binary and binary_compressed, fields of any type and order."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pvd_core.clouds.errors import CloudFileError
from pvd_core.clouds.fields import FilePoints, check_left_over, check_separators, points_from_columns
from pvd_core.clouds.lzf import LzfError, decompress

_TYPES = {
    (kind, size): np.dtype(f"<{letter}{size}")
    for kind, letter, sizes in (("F", "f", (4, 8)), ("I", "i", (1, 2, 4, 8)), ("U", "u", (1, 2, 4, 8)))
    for size in sizes
}
_MOST_HEADER_BYTES = 64 * 1024

_Columns = list[tuple[str, np.ndarray]]  # name of a field and its values (N, count)


@dataclass(frozen=True)
class _Header:
    fields: tuple[tuple[str, np.dtype, int], ...]  # name, type, count of each field
    num_points: int
    encoding: str
    data_start: int

    @property
    def point_bytes(self) -> int:
        return sum(dtype.itemsize * count for _, dtype, count in self.fields)


def read_pcd(path: Path, intensity_field: str = "") -> FilePoints:
    """The points in the file's order; organised clouds row by row. CloudFileError if the file is broken, and as
    `points_from_columns`."""
    data = path.read_bytes()
    header = _read_header(path, data)
    body = memoryview(data)[header.data_start :]
    columns = _DECODERS[header.encoding](path, header, body)
    # A count of 0 means that the field is not there.
    single = [(name, column[:, 0] if column.shape[1] == 1 else column) for name, column in columns if column.shape[1]]
    return points_from_columns(path, single, intensity_field)


def _read_header(path: Path, data: bytes) -> _Header:
    match = re.search(rb"^DATA[ \t]+(\w+)[ \t]*\r?\n", data[:_MOST_HEADER_BYTES], re.MULTILINE)
    if match is None:
        raise CloudFileError(f"{path}: no PCD header found (a line `DATA ascii|binary|binary_compressed` expected)")
    entries = {}
    for line in data[: match.start()].decode("ascii", errors="replace").splitlines():
        words = line.split("#")[0].split()
        if words:
            entries[words[0].upper()] = words[1:]
    try:
        names = entries.get("FIELDS") or entries["COLUMNS"]
        sizes = [int(word) for word in entries["SIZE"]]
        counts = [int(word) for word in entries.get("COUNT", ["1"] * len(names))]
        kinds = entries["TYPE"]
        declared = entries.get("POINTS")
        shape = [int(entries[name][0]) for name in ("WIDTH", "HEIGHT") if name in entries or not declared]
        num_points = int(declared[0]) if declared else shape[0] * shape[1]
    except (KeyError, ValueError, IndexError) as error:
        raise CloudFileError(f"{path}: broken PCD header: {type(error).__name__} {error}") from None
    if not len(names) == len(sizes) == len(kinds) == len(counts):
        raise CloudFileError(
            f"{path}: PCD header names {len(names)} fields, but {len(sizes)} sizes, {len(kinds)} types, "
            f"{len(counts)} counts"
        )
    for name, kind, size, count in zip(names, kinds, sizes, counts, strict=True):
        if (kind.upper(), size) not in _TYPES or count < 0:
            raise CloudFileError(f"{path}: PCD field {name} of type {kind}, size {size}, count {count} is unknown")
    if len(shape) == 2 and shape[0] * shape[1] != num_points:
        raise CloudFileError(
            f"{path}: the PCD header says WIDTH {shape[0]} and HEIGHT {shape[1]}, which are {shape[0] * shape[1]} "
            f"points, but POINTS {num_points}; correct what is wrong of it"
        )
    encoding = match.group(1).decode().lower()
    if encoding not in _DECODERS or num_points < 0:
        raise CloudFileError(
            f"{path}: PCD data `{encoding}` with {num_points} points found, ascii, binary or binary_compressed expected"
        )
    types = [_TYPES[kind.upper(), size] for kind, size in zip(kinds, sizes, strict=True)]
    return _Header(tuple(zip(names, types, counts, strict=True)), num_points, encoding, match.end())


def _ascii_columns(path: Path, header: _Header, body: memoryview) -> _Columns:
    check_separators(path, bytes(body))
    words = bytes(body).split()
    words_per_point = sum(count for _, _, count in header.fields)
    if len(words) != header.num_points * words_per_point:
        raise CloudFileError(
            f"{path}: {len(words)} values found, {header.num_points} points x {words_per_point} expected: "
            "truncated, or a header that does not fit"
        )
    try:
        table = np.array(words, dtype=np.float64).reshape(header.num_points, words_per_point)
    except ValueError as error:
        raise CloudFileError(f"{path}: not a number in the PCD data: {error}") from None
    columns, start = [], 0
    for name, _, count in header.fields:
        columns.append((name, table[:, start : start + count]))
        start += count
    return columns


def _binary_columns(path: Path, header: _Header, body: memoryview) -> _Columns:
    needed = header.num_points * header.point_bytes
    if len(body) < needed:
        raise CloudFileError(
            f"{path}: {len(body)} bytes of points found, {needed} expected "
            f"({header.num_points} points x {header.point_bytes}): truncated"
        )
    check_left_over(path, body[needed:], header.num_points)
    columns, start = [], 0
    rows = np.frombuffer(body[:needed], dtype=np.uint8).reshape(header.num_points, header.point_bytes)
    for name, dtype, count in header.fields:
        end = start + dtype.itemsize * count
        columns.append((name, np.ascontiguousarray(rows[:, start:end]).view(dtype)))
        start = end
    return columns


def _compressed_columns(path: Path, header: _Header, body: memoryview) -> _Columns:
    """Compressed data holds the values of all points field by field, not point by point."""
    needed = header.num_points * header.point_bytes
    if len(body) < 8:
        raise CloudFileError(f"{path}: compressed PCD data ends before its sizes: truncated")
    packed_size, size = (int(number) for number in np.frombuffer(body[:8], dtype="<u4"))
    if size != needed or len(body) < 8 + packed_size:
        raise CloudFileError(
            f"{path}: {len(body) - 8} compressed bytes for {size} found, {packed_size} for {needed} expected: "
            "truncated, or a header that does not fit"
        )
    try:
        unpacked = decompress(bytes(body[8 : 8 + packed_size]), size)
    except LzfError as error:
        raise CloudFileError(f"{path}: compressed PCD data is broken: {error}") from None
    check_left_over(path, body[8 + packed_size :], header.num_points)
    columns, start = [], 0
    for name, dtype, count in header.fields:
        values = np.frombuffer(unpacked, dtype=dtype, count=header.num_points * count, offset=start)
        columns.append((name, values.reshape(header.num_points, count)))
        start += dtype.itemsize * count * header.num_points
    return columns


_DECODERS: dict[str, Callable[[Path, _Header, memoryview], _Columns]] = {
    "ascii": _ascii_columns,
    "binary": _binary_columns,
    "binary_compressed": _compressed_columns,
}
