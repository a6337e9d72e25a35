"""Points that are not to be labelled: too near, too far, or inside a box such as the vehicle's own body."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from pvd_core.borders.errors import UserError


@dataclass(frozen=True)
class Crop:
    """What of a cloud is cropped. UserError for numbers that are not finite or in the wrong order.

    min_range, max_range: metres from the cloud's origin; points nearer than the first or farther than the second are
    cropped, 0 is no limit. box: the lowest x, y, z of a box and its highest, in metres; points in it are cropped, all 0
    is no box.
    """

    min_range: float = 0.0
    max_range: float = 0.0
    box: tuple[float, ...] = field(default=(0.0,) * 6)

    def __post_init__(self) -> None:
        for value in (self.min_range, self.max_range, *self.box):
            if not math.isfinite(value):
                raise UserError(f"crop has {value}: expected finite numbers of metres")
        if self.max_range and self.min_range >= self.max_range:
            raise UserError(
                f"min_range is {self.min_range:g} and max_range {self.max_range:g}: no point would be left; expected "
                "min_range below max_range, or 0 for no limit"
            )
        check_box(self.box)

    @property
    def has_box(self) -> bool:
        """Whether there is a box."""
        return any(self.box)

    @property
    def is_nothing(self) -> bool:
        """Whether no point is cropped, whatever the cloud."""
        return not (self.min_range or self.max_range or self.has_box)

    def is_cropped(self, points: np.ndarray, to_box: np.ndarray | None = None) -> np.ndarray:
        """bool (N,) for `points`, float32 (N, 3 or more) in the cloud's frame. Points that are not finite are not.

        to_box: float64 (4, 4), a rigid transform from the cloud's frame to the box's; None where they are the same.
        Each point is moved into the box's frame, so that a turned box is cropped to its corners.
        """
        with np.errstate(invalid="ignore", over="ignore"):
            xyz = points[:, :3].astype(np.float64)
            square_m2 = (xyz * xyz).sum(1)
            cropped = square_m2 < self.min_range**2
            if self.max_range:
                cropped |= (square_m2 > self.max_range**2) & np.isfinite(square_m2)
            if self.has_box:
                if to_box is not None:
                    xyz = xyz @ to_box[:3, :3].T + to_box[:3, 3]
                cropped |= ((xyz >= self.box[:3]) & (xyz <= self.box[3:])).all(1)
        return cropped


def check_box(box: Sequence[float]) -> None:
    """UserError if `box` is not the lowest x, y, z and the highest of a box."""
    if len(box) != 6:
        raise UserError(f"a box of {len(box)} numbers: expected 6, the lowest x, y, z and the highest")
    for axis, low, high in zip("xyz", box[:3], box[3:], strict=True):
        if low > high:
            raise UserError(f"the box begins at {axis} = {low:g} and ends at {high:g}: expected the lower one first")
