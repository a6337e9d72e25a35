"""PointCloud2 -> points for the segmenter: any field order, padding, byte order and number type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pvd_ros.codec.layout import CloudLayout, read_layout


@dataclass(frozen=True)
class DecodedCloud:
    """Every point of a message, in the message's order (row after row for an organised cloud).

    points: (N, 4) float32; x, y, z in metres in the sensor's frame as received, NaN included, and the intensity as
        network input: intensity * intensity_scale, 0 where it is absent or not finite.
    intensity: (N,) float32, as received (0 where the cloud has none).
    """

    points: np.ndarray
    intensity: np.ndarray
    layout: CloudLayout

    @property
    def raw_points(self) -> np.ndarray:
        """A copy of the points, float32 (N, 4), with the intensity as received."""
        points = self.points.copy()
        points[:, 3] = self.intensity
        return points


def decode(message: Any, intensity_scale: float = 1.0, intensity_field: str = "") -> DecodedCloud:
    """All points of `message`, a PointCloud2; MalformedCloudError if the message contradicts itself.

    intensity_scale: brings the sensor's intensity to 0..1 (1/255 for a sensor that sends 0..255).
    intensity_field: name of the field to use; "" finds intensity, reflectivity or the like.
    """
    return decode_data(message.data, read_layout(message, intensity_field), intensity_scale)


def decode_data(data: Any, layout: CloudLayout, intensity_scale: float = 1.0) -> DecodedCloud:
    """All points in `data`, the bytes of a message with the layout `layout`."""
    points = np.zeros((layout.num_points, 4), np.float32)
    intensity = np.zeros(layout.num_points, np.float32)
    # float64 beyond the range of float32 becomes infinity, which the segmenter treats as "not measured".
    with np.errstate(over="ignore", invalid="ignore"):
        if _starts_like_a_row(layout):
            # A seventh of the time of three columns. What comes with them as the fourth value is replaced below.
            _copy(layout, data, layout.columns["x"][0], np.dtype("V16"), points.view("V16"))
        else:
            for column, name in enumerate(("x", "y", "z")):
                _copy_column(layout, name, data, points[:, column])
        _copy_column(layout, "intensity", data, intensity)
        np.multiply(intensity, np.float32(intensity_scale), out=points[:, 3])
    points[~np.isfinite(points[:, 3]), 3] = 0
    return DecodedCloud(points, intensity, layout)


def _starts_like_a_row(layout: CloudLayout) -> bool:
    """Whether x, y, z lie one behind the other as in the points here, and there are four more bytes."""
    if not layout.num_points:
        return False
    start = layout.columns["x"][0]
    wanted = {name: (start + 4 * place, np.dtype(np.float32)) for place, name in enumerate(("x", "y", "z"))}
    return wanted.items() <= layout.columns.items() and start + 16 <= layout.point_step


def _copy_column(layout: CloudLayout, name: str, data: Any, destination: np.ndarray) -> None:
    if name in layout.columns:
        _copy(layout, data, *layout.columns[name], destination)


def _copy(layout: CloudLayout, data: Any, offset: int, dtype: np.dtype, destination: np.ndarray) -> None:
    # NumPy refuses a view that leaves the buffer, so a mistake in the checks of the layout cannot read outside it.
    view = np.ndarray(
        (layout.height, layout.width), dtype, buffer=data, offset=offset, strides=(layout.row_step, layout.point_step)
    )
    destination.reshape(layout.height, layout.width)[...] = view
