"""Bytes of points -> points, on whatever device the bytes are. P points, S bytes a point."""

import numpy as np
import torch

from pvd_core.clouds.measured import MAX_COORDINATE_M


def decode_points(bytes_PS, layout, intensity_scale):
    """float32 (P, 4): x, y, z in metres and intensity * scale, 0 where there is none or it is not finite.

    `bytes_PS` is uint8, read as a PointLayout says; `intensity_scale` a number or a tensor of one."""
    columns = {role: _column(bytes_PS, offset, np.dtype(dtype)) for role, offset, dtype in layout.columns}
    intensity_P = columns.get("intensity")
    if intensity_P is None:
        intensity_P = torch.zeros_like(columns["x"])
    intensity_P = intensity_P * intensity_scale
    intensity_P = torch.where(torch.isfinite(intensity_P), intensity_P, 0.0)
    return torch.stack((columns["x"], columns["y"], columns["z"], intensity_P), dim=1)


def measured(points_P4):
    """bool (P,): what `pvd_core.clouds.measured.is_measured` says."""
    xyz_P3 = points_P4[:, :3]
    return (xyz_P3.abs() < MAX_COORDINATE_M).all(dim=1) & (xyz_P3 != 0).any(dim=1)


def _column(bytes_PS, offset, dtype):
    """One number a point, as float32."""
    # A copy: a view as wider numbers wants an address that is a multiple of their size.
    bytes_PI = bytes_PS[:, offset : offset + dtype.itemsize].clone(memory_format=torch.contiguous_format)
    if dtype.byteorder == ">":
        bytes_PI = bytes_PI.flip(1)
    if dtype.kind == "f":
        return bytes_PI.view({4: torch.float32, 8: torch.float64}[dtype.itemsize]).squeeze(1).float()
    value_P = bytes_PI[:, 0].long()
    for place in range(1, dtype.itemsize):
        value_P = value_P + (bytes_PI[:, place].long() << (8 * place))
    if dtype.kind == "i":
        num_values = 1 << (8 * dtype.itemsize)
        value_P = torch.where(value_P >= num_values // 2, value_P - num_values, value_P)
    return value_P.float()
