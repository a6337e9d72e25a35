"""Clouds that are tables of numbers: KITTI's .bin and NumPy's .npy. N points, C columns."""

from pathlib import Path

import numpy as np

from pvd_core.clouds.bin_columns import FOUR_COLUMNS, BinColumns, candidates, likely_columns
from pvd_core.clouds.errors import CloudFileError
from pvd_core.clouds.fields import points_from_columns

_MOST_COLUMNS = 16


def read_bin(path: Path, columns: BinColumns = FOUR_COLUMNS) -> np.ndarray:
    """float32 (N, 4), perhaps read-only, of KITTI's format: x, y, z, intensity of each point, little endian, no header.
    Of more columns the first four are kept. CloudFileError if the file does not look like these columns."""
    data = path.read_bytes()
    fitting = candidates(len(data))
    if len(data) % columns.point_bytes:
        likely = likely_columns(data, fitting[0], fitting) if fitting else None
        hint = f"; {likely} would fit: --columns {likely.option}" if likely else ""
        raise CloudFileError(
            f"{path}: {len(data)} bytes found, a multiple of {columns.point_bytes} ({columns}: x, y, z, intensity"
            f"{', ...' if columns.number > 4 else ''}) expected: truncated, or other columns{hint}"
        )
    likely = likely_columns(data, columns, fitting)
    if likely != columns:
        raise CloudFileError(
            f"{path}: its numbers look like {likely}, but {columns} are expected; x, y, z, intensity first and then "
            f"ring or time, as in nuScenes, or float64? Then say so: --columns {likely.option}"
        )
    return columns.points(data)


def read_npy(path: Path) -> np.ndarray:
    """float32 (N, 4) of an array (N, C) or (H, W, C) with columns x, y, z, intensity and more, intensity 0 if C = 3; or
    of an array with named fields. CloudFileError for any other array."""
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise CloudFileError(f"{path}: not a .npy array that can be read without pickle: {error}") from None
    if not isinstance(array, np.ndarray):
        raise CloudFileError(f"{path}: an archive of several arrays found, one array expected")
    if array.dtype.names:
        return points_from_columns(path, {name: array[name].reshape(-1) for name in array.dtype.names})
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
    return points
