"""Decodes the bytes of points, on the device that the bytes are on. P points, S bytes a point, I bytes of a number."""

import numpy as np
import torch

from pvd_core.programs.layout import PointLayout


def decode_points(bytes_PS: torch.Tensor, layout: PointLayout, intensity_scale: float | torch.Tensor) -> torch.Tensor:
    """float32 (P, 4): x, y, z in metres, and intensity * scale. Intensity is 0 where the layout has none or where it is
    not finite. `bytes_PS` is uint8; `intensity_scale` is a number or a tensor of one number."""
    columns = {role: _column(bytes_PS, offset, np.dtype(dtype)) for role, offset, dtype in layout.columns}
    intensity_P = columns.get("intensity")
    if intensity_P is None:
        intensity_P = torch.zeros_like(columns["x"])
    intensity_P = intensity_P * intensity_scale
    intensity_P = torch.where(torch.isfinite(intensity_P), intensity_P, 0.0)
    return torch.stack((columns["x"], columns["y"], columns["z"], intensity_P), dim=1)


def _column(bytes_PS: torch.Tensor, offset: int, dtype: np.dtype) -> torch.Tensor:
    """The number at byte `offset` of each point, float32 (P,)."""
    # A copy, because a view with a wider dtype needs an address that is a multiple of its size.
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
