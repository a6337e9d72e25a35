"""From named columns to points: which names mean intensity, what must be there."""

import numpy as np

from pvd_core.clouds.errors import CloudFileError

_INTENSITY_NAMES = ("intensity", "i", "remission", "reflectivity", "reflectance", "scalar_intensity")


def points_from_columns(path, columns):
    """Points, float32 (N, 4), of a dictionary from field name to column (N,) of any number type."""
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
    intensity = next((by_name[name] for name in _INTENSITY_NAMES if name in by_name), None)
    if intensity is not None:
        points[:, 3] = intensity
    return points
