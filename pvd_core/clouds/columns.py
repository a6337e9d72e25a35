"""Clouds that are tables of numbers: KITTI's .bin and NumPy's .npy. N points, C columns."""

from pathlib import Path

import numpy as np

from pvd_core.clouds.errors import CloudFileError
from pvd_core.clouds.fields import points_from_columns

_MOST_COLUMNS = 16
_NUMBERS_LOOKED_AT = 1_000_000


def read_bin(path: Path, num_columns: int = 4) -> np.ndarray:
    """float32 (N, 4), read-only, of KITTI's format: x, y, z, intensity of each point, little endian, no header. Of
    `num_columns` the first four are kept. CloudFileError if the file does not look like that many columns."""
    data = path.read_bytes()
    point_bytes = 4 * num_columns
    if len(data) % point_bytes:
        fitting = [str(n) for n in range(4, 9) if n != num_columns and len(data) % (4 * n) == 0]
        hint = f"; {' or '.join(fitting)} columns would fit (nuScenes has 5: --columns 5)" if fitting else ""
        raise CloudFileError(
            f"{path}: {len(data)} bytes found, a multiple of {point_bytes} ({num_columns} columns of float32: "
            f"x, y, z, intensity{', ...' if num_columns > 4 else ''}) expected: truncated, or another number of "
            f"columns{hint}"
        )
    numbers = np.frombuffer(data, dtype="<f4")
    likely = _likely_columns(numbers, num_columns)
    if likely != num_columns:
        raise CloudFileError(
            f"{path}: its float32 numbers repeat every {likely} values, but {num_columns} columns are expected; "
            f"x, y, z, intensity first and then ring or time, as in nuScenes? Then say so: --columns {likely}"
        )
    return numbers.reshape(-1, num_columns)[:, :4]


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


def _likely_columns(numbers: np.ndarray, num_columns: int) -> int:
    """`num_columns`, or another number of columns if the numbers clearly fit it better.

    Successive points of a scan are close in space, so numbers one row apart differ little if the row length is right;
    if it is wrong, they come from different columns. Points in random order show no clear difference.
    """
    if len(numbers) < 100 * num_columns:
        return num_columns
    candidates = {num_columns, *(n for n in range(4, 9) if len(numbers) % n == 0)}
    steps = {n: _median_step(numbers[:_NUMBERS_LOOKED_AT], n) for n in candidates}
    best = min(steps, key=lambda n: steps[n])
    return best if steps[best] < 0.25 * steps[num_columns] else num_columns


def _median_step(numbers: np.ndarray, row_length: int) -> float:
    """Median difference between numbers that are `row_length` apart."""
    with np.errstate(invalid="ignore", over="ignore"):  # differences that are not finite are left out below
        steps = np.abs(numbers[row_length:] - numbers[:-row_length])
    steps = steps[np.isfinite(steps)]
    return float(np.median(steps)) if len(steps) else 0.0
