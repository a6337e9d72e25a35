"""Where x, y, z and intensity lie inside the bytes of a point."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

ROLES = ("x", "y", "z", "intensity")


@dataclass(frozen=True)
class PointLayout:
    """Columns x, y, z and, if there is one, intensity, all inside the bytes of a point. Hashable, as a DeviceRunner
    keeps its programs by layout."""

    point_step: int  # bytes of a point
    columns: tuple[tuple[str, int, str], ...]  # (role, byte offset, NumPy dtype such as "<f4")

    @staticmethod
    def of(point_step: int, columns: Mapping[str, tuple[int, Any]]) -> "PointLayout":
        """From role -> (byte offset, NumPy dtype), as the codec of PointCloud2 gives it. ValueError if x, y or z is
        missing, a column is not of numbers, or a column reaches outside the point."""
        if missing := set(ROLES[:3]) - columns.keys():
            raise ValueError(f"columns {', '.join(columns) or 'none'}: expected x, y and z, missing {sorted(missing)}")
        kept = tuple((role, int(columns[role][0]), np.dtype(columns[role][1]).str) for role in ROLES if role in columns)
        for role, offset, dtype in kept:
            if np.dtype(dtype).kind not in "fiu":
                raise ValueError(f"column {role!r} has dtype {dtype}, expected floats or integers")
            if offset < 0 or offset + np.dtype(dtype).itemsize > point_step:
                raise ValueError(f"column {role!r} at byte {offset} of a point leaves its {point_step} bytes")
        return PointLayout(int(point_step), kept)


# A point of a float32 array (N, 4): x, y, z, intensity.
XYZI = PointLayout.of(16, {role: (4 * place, "<f4") for place, role in enumerate(ROLES)})
