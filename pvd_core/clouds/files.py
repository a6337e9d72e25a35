"""One function that reads a cloud of any supported format, and one that finds the clouds in folders."""

import math
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from pvd_core.borders.files import why_not_a_file
from pvd_core.clouds.bin_columns import bin_columns
from pvd_core.clouds.columns import read_bin, read_npy
from pvd_core.clouds.errors import CloudFileError
from pvd_core.clouds.fields import FilePoints
from pvd_core.clouds.pcd import read_pcd
from pvd_core.clouds.ply import read_ply

_READERS: dict[str, Callable[..., FilePoints]] = {
    ".bin": read_bin,
    ".npy": read_npy,
    ".pcd": read_pcd,
    ".ply": read_ply,
}
SUFFIXES = tuple(_READERS)

# No LiDAR measures larger ones; text or pixels read as float32 mostly are larger.
_LARGEST_COORDINATE_M = 1e6
# Integers read as float32 are mostly smaller than this.
_LEAST_MEDIAN_M = 1e-9


def read_cloud(path: str | Path, intensity_scale: float = 1.0, columns: str | int = 4) -> np.ndarray:
    """The points of `read_cloud_file`."""
    return read_cloud_file(path, intensity_scale, columns).points


def read_cloud_file(
    path: str | Path, intensity_scale: float = 1.0, columns: str | int = 4, intensity_field: str = ""
) -> FilePoints:
    """Points of the file, float32 (N, 4): x, y, z in metres and the intensity times `intensity_scale`; intensity 0 if
    the file has none. KITTI's intensity is in 0..1; for a sensor whose intensity is in 0..255 take 1/255.
    `columns`: numbers of each point in a .bin file, of which the first four are kept: 4, or 3 without intensity, or 5
    as in nuScenes, or "4xfloat64" where they are float64. `intensity_field`: name of the field that holds the
    intensity, where it is not a usual one; files whose numbers have no names have none.

    All points of the file are kept in their order, also NaN and no-return points. Raises CloudFileError.
    """
    if not (math.isfinite(intensity_scale) and intensity_scale >= 0):
        raise CloudFileError(f"intensity scale {intensity_scale}: expected a number of at least 0")
    path = Path(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise CloudFileError(f"{path}: suffix {path.suffix or '(none)'} found, one of {', '.join(SUFFIXES)} expected")
    try:
        if what := why_not_a_file(path):
            raise CloudFileError(f"{path} {what}")
        more = (bin_columns(columns),) if reader is read_bin else ()
        # float64 beyond the range of float32 becomes infinite, which is no measurement.
        with np.errstate(over="ignore", invalid="ignore"):
            points, other_fields = reader(path, intensity_field, *more)
            # A copy, because some readers return read-only views of the file's bytes.
            points = np.array(points, dtype=np.float32, order="C")
            points[:, 3] *= np.float32(intensity_scale)
    except OSError as error:
        raise CloudFileError(f"{path}: cannot be read: {error.strerror or error}") from None
    _check_coordinates(path, points)
    return FilePoints(points, other_fields)


def find_clouds(inputs: Iterable[str | Path]) -> list[Path]:
    """Paths of all clouds in `inputs`, files or folders, in the given order, each once. A folder is searched with its
    subfolders and symbolic links; its files come sorted. CloudFileError if an input does not exist or a folder holds no
    cloud."""
    found: list[Path] = []
    for given in map(Path, inputs):
        if given.is_dir():
            inside = _clouds_below(given)
            if not inside:
                raise CloudFileError(f"{given}: no {', '.join(SUFFIXES)} file found in this folder")
            found += inside
        elif given.exists():
            found.append(given)
        else:
            raise CloudFileError(f"{given}: no such file or folder")
    return list(dict.fromkeys(found))


def _clouds_below(folder: Path) -> list[Path]:
    paths = []
    # Data sets often consist of symbolic links, which Path.rglob does not follow before Python 3.13.
    for top, folders, names in os.walk(folder, followlinks=True):
        inside = [Path(top), *Path(top).parents]
        entered = {os.path.realpath(each) for each in inside[: len(inside) - len(folder.parents)]}
        # A link to a folder that it lies in would be followed without end.
        folders[:] = [name for name in folders if os.path.realpath(Path(top, name)) not in entered]
        paths += [Path(top, name) for name in names]
    return sorted(path for path in paths if path.suffix.lower() in SUFFIXES and path.is_file())


def _check_coordinates(path: Path, points: np.ndarray) -> None:
    sizes = np.abs(points[:, :3])
    is_too_large = np.isfinite(sizes) & (sizes > _LARGEST_COORDINATE_M)
    measured = sizes[np.isfinite(sizes) & (sizes > 0)]
    is_too_small = len(measured) and np.median(measured) < _LEAST_MEDIAN_M
    if is_too_large.any() or is_too_small:
        row = int(np.flatnonzero(is_too_large.any(axis=1) if is_too_large.any() else sizes.any(axis=1))[0])
        x, y, z = points[row, :3]
        raise CloudFileError(
            f"{path}: point {row} is at x {x:.3g}, y {y:.3g}, z {z:.3g} m, which no LiDAR measures; "
            "is this a point cloud in the sensor's frame, not a map's, and does its format fit its suffix?"
        )
