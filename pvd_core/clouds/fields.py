"""Points from named columns: x, y, z, and whichever column holds the intensity."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pvd_core.clouds.errors import CloudFileError

# Of fields of files and of PointCloud2, in this order. `reflectivity` comes late, because sensors that send both
# calibrate it differently; `scalar_intensity` is CloudCompare's.
INTENSITY_NAMES = ("intensity", "intensities", "i", "remission", "reflectance", "reflectivity", "scalar_intensity")


def points_from_columns(path: Path, columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """float32 (N, 4): x, y, z, intensity, from a dictionary of field name to column (N,) of any number type. Upper and
    lower case are alike; the intensity is 0 if no field has one of its names. CloudFileError, which names the file
    `path`, if x, y or z is missing."""
    by_name = {name.lower(): column for name, column in columns.items()}
    missing = [name for name in "xyz" if name not in by_name]
    if missing:
        raise CloudFileError(
            f"{path}: no field {', '.join(missing)} among {', '.join(columns) or 'no fields at all'}; "
            "fields x, y, z expected"
        )
    points = np.zeros((len(by_name["x"]), 4), dtype=np.float32)
    for index, name in enumerate("xyz"):
        points[:, index] = by_name[name]
    intensity = next((by_name[name] for name in INTENSITY_NAMES if name in by_name), None)
    if intensity is not None:
        points[:, 3] = intensity
    return points
