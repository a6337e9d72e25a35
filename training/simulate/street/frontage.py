"""A frontage is one side of the main street or of a side street, with coordinates (along, distance) of its own."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from training.simulate.street.layout import Block, Side, SideStreet

_SIDE_STREET_REACH_M = 48.0
_FREE_OF_ROAD_M = 0.25


@dataclass(frozen=True)
class Frontage:
    """Places on it are (along, distance): metres along its street, and metres outwards from the edge of that street's
    lanes."""

    block: Block
    side: int
    """The side of the main street on which it lies: +1 left, -1 right."""
    style: Side
    first_m: float
    last_m: float
    """Range of `along`."""
    street: SideStreet | None = None
    """The side street; None for the main street."""
    sign: int = 0
    """The side of the side street: +1 towards greater s, -1 towards smaller."""

    def place(self, along: float, distance: float) -> tuple[float, float, float]:
        """(s, u, yaw): the same place along and beside the main street, and the yaw (radians, against the main street's
        direction) of an object there whose -y faces the frontage's own street."""
        if self.street is None:
            return along, distance, 0.0 if self.side > 0 else np.pi
        slant = self.street.direction(along)
        length = np.sqrt(1 + slant * slant)
        across = self.sign * (self.street.half_width_m + distance)
        outward_s, outward_d = self.sign / length, -self.sign * slant * self.side / length
        yaw = float(np.arctan2(-outward_s, outward_d))
        return self.street.centre(along) + across / length, along - across * slant / length, yaw

    def coordinates(self, s: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(along, distance) of places (s, u) beside the main street, arrays of one shape; distances are negative on the
        other side of a side street."""
        if self.street is None:
            return s, u
        return u, self.sign * self.street.offset(s, u) - self.street.half_width_m

    def is_clear(self, along: float, distance: float, half_length: float, half_width: float) -> bool:
        """Whether an object there stays within the block and off the other streets; behind its own street's pavement it
        must stay off the other streets' pavements too. half_length along the street, half_width across, in metres."""
        s, u, yaw = self.place(along, distance)
        stands_behind = distance > self.style.outer_start_m() + 0.3
        reach_s = abs(np.cos(yaw)) * half_length + abs(np.sin(yaw)) * half_width
        reach_u = abs(np.sin(yaw)) * half_length + abs(np.cos(yaw)) * half_width
        if not self.block.start_m + 0.2 < s < self.block.end_m - 0.2:
            return False
        if self.street is not None:
            main = self.block.side(self.side)
            nearest = main.outer_start_m() if stands_behind else main.road_m() + _FREE_OF_ROAD_M
            if u - reach_u < nearest:
                return False
        corners_s = s + reach_s * np.array((-1, -1, 0, 1, 1))
        corners_u = np.maximum(u + reach_u * np.array((-1, 1, 0, -1, 1)), 0)
        for street in self.block.streets(self.side):
            if street is self.street:
                continue
            offsets = street.offset(corners_s, corners_u)
            style = street.beyond if offsets[2] > 0 else street.before
            needed = street.half_width_m + (style.outer_start_m() if stands_behind else style.road_m())
            if np.ptp(np.sign(offsets)) > 0 or np.abs(offsets).min() < needed + _FREE_OF_ROAD_M:
                return False
        return True


def frontages(block: Block) -> Iterator[Frontage]:
    """Right and left side of the main street in the block, then both sides of each side street."""
    for side in (-1, 1):
        yield Frontage(block, side, block.side(side), block.start_m + 0.5, block.end_m - 0.5)
    for street in block.side_streets:
        first = block.side(street.side).road_m() + 2.0
        for sign, style in street.sides():
            yield Frontage(block, street.side, style, first, _SIDE_STREET_REACH_M, street, sign)
