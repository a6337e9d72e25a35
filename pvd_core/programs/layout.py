"""Where x, y, z and intensity lie inside the bytes of a point."""

from dataclasses import dataclass

import numpy as np

ROLES = ("x", "y", "z", "intensity")


@dataclass(frozen=True)
class PointLayout:
    """`columns`: (role, byte offset, NumPy dtype such as "<f4") of x, y, z and, if there is one, intensity; all inside
    the `point_step` bytes of a point. Hashable: programs for the device are kept by layout."""

    point_step: int
    columns: tuple[tuple[str, int, str], ...]

    @staticmethod
    def of(point_step, columns):
        """From a dictionary of role -> (byte offset, NumPy dtype), as the codec of PointCloud2 has it. ValueError where
        a column leaves the point or x, y or z is missing."""
        if missing := set(ROLES[:3]) - columns.keys():
            raise ValueError(f"columns {', '.join(columns) or 'none'}: expected x, y and z, missing {sorted(missing)}")
        kept = tuple((role, int(columns[role][0]), np.dtype(columns[role][1]).str) for role in ROLES if role in columns)
        for role, offset, dtype in kept:
            if np.dtype(dtype).kind not in "fiu":
                raise ValueError(f"column {role!r} has dtype {dtype}, expected floats or integers")
            if offset < 0 or offset + np.dtype(dtype).itemsize > point_step:
                raise ValueError(f"column {role!r} at byte {offset} of a point leaves its {point_step} bytes")
        return PointLayout(int(point_step), kept)


# float32 (N, 4) in a row: x, y, z, intensity.
XYZI = PointLayout.of(16, {role: (4 * place, "<f4") for place, role in enumerate(ROLES)})
