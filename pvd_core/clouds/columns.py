"""Clouds that are tables of numbers: KITTI's .bin and NumPy's .npy. N points, C columns."""

from pathlib import Path

import numpy as np

from pvd_core.clouds.bin_columns import FOUR_COLUMNS, BinColumns, candidates, foreign_type, likely_columns
from pvd_core.clouds.errors import CloudFileError
from pvd_core.clouds.fields import FilePoints, check_has_fields, points_from_columns

_MOST_COLUMNS = 16


def read_bin(path: Path, intensity_field: str = "", columns: BinColumns = FOUR_COLUMNS) -> FilePoints:
    """Points of KITTI's format: x, y, z, intensity of each point, little endian, no header. Of more columns the first
    four are kept, of three the intensity is 0. CloudFileError if the file does not look like these columns, or an
    `intensity_field` is asked for."""
    check_has_fields(path, intensity_field)
    data = path.read_bytes()
    if not data:
        raise CloudFileError(f"{path}: no bytes found, points expected: was it copied to its end? Copy it again")
    if not columns.is_certain and (foreign := foreign_type(data)):
        raise CloudFileError(
            f"{path}: its numbers look like {foreign}, float32 or float64 (little endian) are expected; write it again "
            "as float32, x, y and z in metres"
        )
    fitting = _fitting(path, len(data))
    likely = likely_columns(data, columns, fitting)
    if len(data) % columns.point_bytes:
        raise CloudFileError(
            f"{path}: {len(data)} bytes found, a multiple of {columns.point_bytes} ({columns}: {columns.names}) "
            f"expected: truncated, or other columns{_hint(columns, likely, fitting)}"
        )
    if likely != columns:
        raise CloudFileError(
            f"{path}: its numbers look like {likely} ({likely.names}), but {columns} are expected: if you are sure "
            f"of these, --columns {columns.option}! (in settings '{columns.option}!'), else --columns {likely.option}"
        )
    return FilePoints(columns.points(data))


def _fitting(path: Path, num_bytes: int) -> list[BinColumns]:
    """The usual columns that a file of so many bytes may have; where SemanticKITTI's layout has a label file beside it,
    those that give one point a label."""
    fitting = candidates(num_bytes)
    labels = path.parent.parent / "labels" / f"{path.stem}.label"
    if path.parent.name != "velodyne" or not labels.is_file():
        return fitting
    num_labels = labels.stat().st_size // 4
    return [columns for columns in fitting if num_bytes == num_labels * columns.point_bytes] or fitting


def _hint(expected: BinColumns, likely: BinColumns, fitting: list[BinColumns]) -> str:
    """What to do about a file whose size is not that of the expected columns."""
    if likely in fitting:
        return f"; its numbers look like {likely} ({likely.names}): --columns {likely.option}"
    options = " or ".join(columns.option for columns in fitting if columns.is_float64 == expected.is_float64)
    return f"; by its size, but not clearly by its numbers, --columns {options}" if options else ""


def read_npy(path: Path, intensity_field: str = "") -> FilePoints:
    """Points of an array (N, C) or (H, W, C) with columns x, y, z, intensity and more, intensity 0 if C = 3; or of an
    array with named fields. CloudFileError for any other array, and as `points_from_columns`."""
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError):
        reason = "not a whole .npy file of numbers; numpy.save of an array (N, 4) writes one"
        raise CloudFileError(f"{path}: {reason}") from None
    if not isinstance(array, np.ndarray):
        raise CloudFileError(f"{path}: an archive of several arrays found, one array expected")
    if array.dtype.names:
        flat = array.reshape(-1)
        return points_from_columns(path, [(name, flat[name]) for name in array.dtype.names], intensity_field)
    check_has_fields(path, intensity_field)
    is_table = array.ndim in (2, 3) and 3 <= array.shape[-1] <= _MOST_COLUMNS
    if not is_table or array.dtype.kind not in "fiu":
        raise CloudFileError(
            f"{path}: array {array.shape} of {array.dtype} found, numbers (N, C) or (H, W, C) with "
            f"C = 3 (x, y, z) to {_MOST_COLUMNS} (x, y, z, intensity, ...) expected"
        )
    table = array.reshape(-1, array.shape[-1])
    points = np.zeros((len(table), 4), dtype=np.float32)
    num_taken = min(4, table.shape[1])
    points[:, :num_taken] = table[:, :num_taken]
    return FilePoints(points)
