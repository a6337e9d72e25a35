"""One side of the main street or of a side street: the strip of land along which things stand in a row."""

from dataclasses import dataclass

import numpy as np

from training.simulate.street.kinds import Block, Side, SideStreet

_SIDE_STREET_REACH_M = 48.0
_FREE_OF_ROAD_M = 0.25


@dataclass(frozen=True)
class Frontage:
    """Places on it are (along, distance): metres along its street, metres outwards from that street's lanes' edge."""

    block: Block
    side: int
    """Of the block, on which its ground lies."""
    style: Side
    first_m: float
    last_m: float
    street: SideStreet | None = None
    sign: int = 0
    """Side of the side street: +1 towards greater s."""

    def place(self, along, distance):
        """(s, u, yaw): where that is in the block, u outwards from the lanes' edge of the main street, and the turn
        of an object there whose -y points at its street."""
        if self.street is None:
            return along, distance, 0.0 if self.side > 0 else np.pi
        slant = self.street.direction(along)
        length = np.sqrt(1 + slant * slant)
        across = self.sign * (self.street.half_width_m + distance)
        outward_s, outward_d = self.sign / length, -self.sign * slant * self.side / length
        yaw = float(np.arctan2(-outward_s, outward_d))
        return self.street.centre(along) + across / length, along - across * slant / length, yaw

    def coordinates(self, s, u):
        """(along, distance) of places in the block; the other side of a side street has distances below 0."""
        if self.street is None:
            return s, u
        return u, self.sign * self.street.offset(s, u) - self.street.half_width_m

    def is_clear(self, along, distance, half_length, half_width):
        """True if an object there keeps off the other streets, and off their pavements if it stands behind its own."""
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


def frontages(block):
    """The block's two sides, then both sides of each side street."""
    for side in (-1, 1):
        yield Frontage(block, side, block.side(side), block.start_m + 0.5, block.end_m - 0.5)
    for street in block.side_streets:
        first = block.side(street.side).road_m() + 2.0
        for sign, style in street.sides():
            yield Frontage(block, street.side, style, first, _SIDE_STREET_REACH_M, street, sign)
