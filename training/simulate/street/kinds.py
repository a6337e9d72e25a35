"""The cross-section of streets and the blocks that they are made of.

What the numbers mean is applied by `ground` and `populate`; `styles` draws them.
"""

from dataclasses import dataclass

import numpy as np

ROAD, PARKING, SIDEWALK, OTHER_GROUND, TERRAIN = 40, 44, 48, 49, 72
LANE_WIDTH_M = 3.1
BAY_LENGTH_M, BAY_WIDTH_M, BAY_LINE_M = 5.0, 2.6, 0.12
HALF_WIDTH_M = 75.0
"""How far a block reaches to both sides."""


@dataclass(frozen=True)
class Strip:
    """Ground that runs along the street."""

    name: str
    width_m: float
    raw_id: int
    material: str
    height_m: float = 0.0
    is_bays: bool = False
    """Marked bays for cars, in one row or two of BAY_LENGTH_M each."""


@dataclass(frozen=True)
class Side:
    """One side of a street, from the edge of the driven lanes outwards. The last strip runs to the world's edge."""

    strips: tuple[Strip, ...]
    parked_share: float = 0.0
    parked_at_m: float | None = None
    """Where the middle of cars is that park along the street, from the lanes' edge; None: nowhere."""
    lamp_spacing_m: float = 32.0
    sign_spacing_m: float = 40.0
    street_tree_spacing_m: float = 0.0
    border: str = "none"
    border_height_m: float = 1.2
    building: str = "none"
    """none, house, row or hall."""
    setback_m: float = 6.0
    garden_trees_per_100m: float = 4.0
    bushes_per_100m: float = 6.0
    backdrop: str = "trees"
    backdrop_distance_m: float = 38.0
    num_persons: float = 1.0
    outer_slope: float = 0.0
    unevenness_m: float = 0.1
    """Amplitude of the swells of the ground beside the street."""
    roughness_m: float = 0.025
    """Of natural ground, from one hand's breadth to the next."""

    def edges(self):
        """Distances from the lanes' edge at which the strips start, and the end of the last."""
        return np.concatenate([[0], np.cumsum([strip.width_m for strip in self.strips])])

    def outer_start_m(self):
        return sum(strip.width_m for strip in self.strips[:-1])

    def road_m(self):
        """How much road lies beyond the lanes' edge."""
        width = 0.0
        for strip in self.strips:
            if strip.raw_id != ROAD:
                break
            width += strip.width_m
        return width

    def bays(self):
        """(start, end) of each strip of bays."""
        edges = self.edges()
        return [(edges[i], edges[i + 1]) for i, strip in enumerate(self.strips) if strip.is_bays]

    def span(self, name):
        """(start, end, height) of the named strip, or None."""
        for strip, start, end in zip(self.strips, self.edges()[:-1], self.edges()[1:], strict=True):
            if strip.name == name:
                return start, end, strip.height_m
        return None


@dataclass(frozen=True)
class SideStreet:
    """A street that leaves the main one at s_m; u is the distance outwards from the main street's lanes' edge."""

    side: int
    s_m: float
    half_width_m: float
    slant: float
    """Metres along the main street for each metre outwards."""
    bend: float
    """Change of the slant for each metre outwards."""
    corner_m: float
    """Radius of its rounded corners."""
    before: Side
    beyond: Side
    """Its side towards smaller and towards greater s."""

    def direction(self, u):
        return self.slant + self.bend * u

    def centre(self, u):
        return self.s_m + self.slant * u + self.bend * u * u / 2

    def offset(self, s, u):
        """Distance from its centre line, positive towards greater s."""
        slant = self.direction(u)
        return (s - self.centre(u)) / np.sqrt(1 + slant * slant)

    def sides(self):
        return ((-1, self.before), (1, self.beyond))


@dataclass(frozen=True)
class Block:
    """A stretch of street."""

    index: int
    start_m: float
    end_m: float
    kind: str
    right: Side
    left: Side
    side_streets: tuple[SideStreet, ...] = ()
    right_lanes: int = 1
    left_lanes: int = 1
    median_m: float = 0.0
    crossing_m: float = 8.0
    """At the block's start, how long the lanes are free of the median, so that traffic can change over."""
    crown_m: float = 0.04

    def lane_edge(self, side):
        """d of the edge of the driven lanes; side is +1 for left, -1 for right."""
        if side < 0:
            return -LANE_WIDTH_M * self.right_lanes
        return self.median_m + LANE_WIDTH_M * self.left_lanes

    def bay_lines(self):
        """s at which the lines between the bays of a car park begin, BAY_LINE_M wide; none without bays."""
        if not (self.right.bays() or self.left.bays()):
            return np.zeros(0)
        return np.arange(self.start_m + 1.0, self.end_m - 1.0, BAY_WIDTH_M)

    def side(self, side):
        return self.right if side < 0 else self.left

    def streets(self, side):
        return [street for street in self.side_streets if street.side == side]
