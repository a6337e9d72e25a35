"""Layouts of whole clouds: what a message says of its bytes, the same for an array, and decoding on the host."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from pvd_core.clouds.bare import is_bare, most_common
from pvd_core.clouds.intensity import bounded
from pvd_core.clouds.measured import is_measured
from pvd_core.programs.decode import decode_points
from pvd_core.programs.layout import XYZI, PointLayout

# Bytes of a cloud: bytes, array, memoryview, NumPy array or whatever else np.frombuffer reads.
CloudBytes = Any

_POINTS_LOOKED_AT = 2000
# A share far below that of bare clouds, seen in so many points, tells a cloud that is none without a look at the rest.
_CLEARLY_NOT_BARE, _LEAST_LOOKED_AT = 0.5, 200


class CloudLayout(Protocol):
    """Where the points of a cloud lie in its bytes, in the terms of PointCloud2."""

    @property
    def height(self) -> int:
        """Rows of points."""
        ...

    @property
    def width(self) -> int:
        """Points of a row."""
        ...

    @property
    def point_step(self) -> int:
        """Bytes of a point."""
        ...

    @property
    def row_step(self) -> int:
        """Bytes from the start of a row to the start of the next."""
        ...

    @property
    def columns(self) -> Mapping[str, tuple[int, Any]]:
        """role -> (byte offset, NumPy dtype)"""
        ...


@dataclass(frozen=True)
class ArrayLayout:
    """The CloudLayout of a float32 array (N, 4) of x, y, z, intensity, with N = `width`."""

    width: int
    height: int = 1
    point_step: int = XYZI.point_step

    @property
    def row_step(self) -> int:
        return self.width * self.point_step

    @property
    def columns(self) -> dict[str, tuple[int, str]]:
        return {role: (offset, dtype) for role, offset, dtype in XYZI.columns}


def rows_of(data: CloudBytes, layout: CloudLayout) -> np.ndarray:
    """The bytes of each row of points, uint8 (height, width * point_step); a view of `data`. ValueError where `data` is
    too short."""
    flat = np.frombuffer(data, np.uint8)
    used, step = layout.width * layout.point_step, layout.row_step
    if layout.height * layout.width == 0:
        return np.zeros((0, used), np.uint8)
    if step < used or flat.size < (layout.height - 1) * step + used:
        raise ValueError(
            f"data holds {flat.size} bytes, rows are {step} bytes apart: expected {layout.height} rows of {used} bytes"
        )
    return np.lib.stride_tricks.as_strided(flat, (layout.height, used), (step, 1), writeable=False)


def points_of_bytes(data: CloudBytes, layout: CloudLayout, intensity_scale: float) -> np.ndarray:
    """float32 (N, 4) of x, y, z in metres and intensity * scale: what programs decode on the device, decoded on the
    host. ValueError where `data` is too short."""
    return _decoded(rows_of(data, layout), layout, intensity_scale)


def is_bare_message(data: CloudBytes, layout: CloudLayout, brightest: float = math.inf) -> bool:
    """Whether the measured points of a cloud have no intensity, see `is_bare`; those beyond `brightest` are taken for
    it. A look at some points answers that for clouds that have. ValueError where `data` is too short."""
    if "intensity" not in layout.columns:
        return True
    rows_HB = rows_of(data, layout)
    points_HWS = rows_HB.reshape(layout.height, layout.width, layout.point_step)
    step = -(-layout.height * layout.width // _POINTS_LOOKED_AT) or 1
    some = points_HWS[:, ::step] if layout.width >= layout.height else points_HWS[::step]
    intensity = _measured(some, layout, brightest)[:, 3]
    if len(intensity) > _LEAST_LOOKED_AT and most_common(intensity)[1] < _CLEARLY_NOT_BARE:
        return False
    return is_bare(_measured(rows_HB, layout, brightest))


def _measured(bytes_of_points: np.ndarray, layout: CloudLayout, brightest: float) -> np.ndarray:
    points = _decoded(bytes_of_points, layout, 1.0)
    return bounded(points[is_measured(points)], brightest)


def _decoded(bytes_of_points: np.ndarray, layout: CloudLayout, intensity_scale: float) -> np.ndarray:
    bytes_PS = torch.from_numpy(bytes_of_points.copy()).view(-1, layout.point_step)
    return decode_points(bytes_PS, PointLayout.of(layout.point_step, layout.columns), intensity_scale).numpy()
