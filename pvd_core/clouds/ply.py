"""Stanford .ply files: ascii and binary in both byte orders; the points are the element `vertex`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pvd_core.clouds.errors import CloudFileError
from pvd_core.clouds.fields import FilePoints, check_left_over, check_separators, points_from_columns

_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2",
    "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4",
    "double": "f8", "float64": "f8",
}  # fmt: skip
_BYTE_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_MOST_HEADER_BYTES = 64 * 1024


@dataclass
class _Element:
    name: str
    count: int
    properties: list[tuple[str, str]] = field(default_factory=list)  # name, NumPy type
    has_lists: bool = False


def read_ply(path: Path, intensity_field: str = "") -> FilePoints:
    """The points in the file's order. CloudFileError if the file is broken, and as `points_from_columns`."""
    data = path.read_bytes()
    encoding, elements, start = _read_header(path, data)
    place = next((place for place, element in enumerate(elements) if element.name == "vertex"), None)
    if place is None:
        raise CloudFileError(f"{path}: no element vertex among {[e.name for e in elements]}")
    for element in elements[: place + 1]:
        if element.has_lists:
            raise CloudFileError(f"{path}: PLY element {element.name} with lists before or in vertex is not supported")
    read = _ascii_columns if encoding == "ascii" else _binary_columns
    columns = read(path, memoryview(data)[start:], elements, place, _BYTE_ORDERS[encoding])
    return points_from_columns(path, columns, intensity_field)


def _read_header(path: Path, data: bytes) -> tuple[str, list[_Element], int]:
    """(encoding, elements, byte at which the data starts)."""
    end = data[:_MOST_HEADER_BYTES].find(b"end_header")
    if not data.startswith(b"ply") or end < 0:
        raise CloudFileError(f"{path}: no PLY header found (`ply` first, `end_header` last expected)")
    encoding: str | None = None
    elements: list[_Element] = []
    try:
        for line in data[:end].decode("ascii", errors="replace").splitlines():
            words = line.split()
            if words[:1] == ["format"]:
                encoding = words[1]
            elif words[:1] == ["element"]:
                elements.append(_Element(words[1], int(words[2])))
            elif words[:1] == ["property"]:
                if words[1] == "list":
                    elements[-1].has_lists = True
                else:
                    elements[-1].properties.append((words[2], _TYPES[words[1]]))
    except (IndexError, ValueError, KeyError):
        raise CloudFileError(f"{path}: broken PLY header at line {line!r}") from None
    if encoding is None or encoding not in _BYTE_ORDERS:
        raise CloudFileError(f"{path}: PLY format {encoding} found, one of {', '.join(_BYTE_ORDERS)} expected")
    return encoding, elements, data.index(b"\n", end) + 1 if b"\n" in data[end:] else len(data)


def _ascii_columns(
    path: Path, body: memoryview, elements: Sequence[_Element], place: int, _byte_order: str
) -> list[tuple[str, np.ndarray]]:
    vertex, first = elements[place], sum(other.count for other in elements[:place])
    lines = [line for line in bytes(body).splitlines() if line.strip()]
    of_vertices = lines[first : first + vertex.count]
    check_separators(path, b"\n".join(of_vertices))
    words = [line.split() for line in of_vertices]
    expected = len(vertex.properties)
    if len(words) != vertex.count or any(len(row) < expected for row in words):
        raise CloudFileError(
            f"{path}: {len(words)} vertex lines found, {vertex.count} of {expected} values expected: truncated?"
        )
    longest = max(map(len, words), default=expected)
    num_declared = sum(other.count for other in elements)
    if longest > expected or len(lines) > num_declared:
        raise CloudFileError(
            f"{path}: {len(lines)} lines of data, of vertices with up to {longest} values, found, but {num_declared} "
            f"lines, of vertices with {expected} values, are declared; correct the header, or write the file again"
        )
    try:
        table = np.array(words, dtype=np.float64).reshape(vertex.count, expected)
    except ValueError as error:
        raise CloudFileError(f"{path}: not a number among the vertices: {error}") from None
    return [(name, table[:, index]) for index, (name, _) in enumerate(vertex.properties)]


def _binary_columns(
    path: Path, body: memoryview, elements: Sequence[_Element], place: int, byte_order: str
) -> list[tuple[str, np.ndarray]]:
    vertex = elements[place]
    start = sum(other.count * _row_type(path, other, byte_order).itemsize for other in elements[:place])
    row_type = _row_type(path, vertex, byte_order)
    needed = vertex.count * row_type.itemsize
    if len(body) - start < needed:
        raise CloudFileError(
            f"{path}: {len(body) - start} bytes of vertices found, {needed} expected "
            f"({vertex.count} x {row_type.itemsize}): truncated"
        )
    if not any(other.count for other in elements[place + 1 :]):
        check_left_over(path, body[start + needed :], vertex.count)
    table = np.frombuffer(body, dtype=row_type, count=vertex.count, offset=start)
    return [(name, table[name]) for name in row_type.names or ()]


def _row_type(path: Path, element: _Element, byte_order: str) -> np.dtype:
    try:
        return np.dtype([(name, byte_order + kind) for name, kind in element.properties])
    except ValueError as error:
        raise CloudFileError(f"{path}: PLY element {element.name}: {error}") from None
