"""Clouds as bytes on the host: an array of points seen as a message, and the points of a message."""

from dataclasses import dataclass

import torch

from pvd_core.programs.decode import decode_points
from pvd_core.programs.layout import XYZI, PointLayout
from pvd_core.programs.transfers import rows_of


@dataclass(frozen=True)
class ArrayLayout:
    """Of a float32 array (N, 4): x, y, z, intensity, in the words of a message's layout."""

    width: int
    height: int = 1
    point_step: int = XYZI.point_step

    @property
    def row_step(self):
        return self.width * self.point_step

    @property
    def columns(self):
        return {role: (offset, dtype) for role, offset, dtype in XYZI.columns}


def points_of_bytes(data, layout, intensity_scale):
    """float32 NumPy array (N, 4) of x, y, z and intensity * scale: what the device would decode, on the host."""
    rows_HB = rows_of(data, layout)
    bytes_PS = torch.from_numpy(rows_HB.copy()).view(-1, layout.point_step)
    return decode_points(bytes_PS, PointLayout.of(layout.point_step, layout.columns), intensity_scale).numpy()
