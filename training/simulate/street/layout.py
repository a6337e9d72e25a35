"""The layout of a street: strips, sides, side streets, blocks. `street_kinds` and `blocks` draw the numbers; `ground`
and `block_objects` use them.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

_Metres = TypeVar("_Metres", float, np.ndarray)

ROAD, PARKING, SIDEWALK, OTHER_GROUND, TERRAIN = 40, 44, 48, 49, 72
LANE_WIDTH_M = 3.1
BAY_LENGTH_M, BAY_WIDTH_M, BAY_LINE_M = 5.0, 2.6, 0.12
HALF_WIDTH_M = 75.0
"""How far a block reaches to either side."""


@dataclass(frozen=True)
class Strip:
    """A strip of ground that runs along the street, at `height_m` above the lanes."""

    name: str
    width_m: float
    raw_id: int
    material: str
    height_m: float = 0.0
    is_bays: bool = False
    """Whether it has marked bays for cars, in one or two rows of BAY_LENGTH_M each."""


@dataclass(frozen=True)
class Side:
    """One side of a street, from the edge of the driven lanes outwards. The last strip reaches to the world's edge."""

    strips: tuple[Strip, ...]
    parked_share: float = 0.0
    """Share of the places for parked cars that are taken, 0..1."""
    parked_at_m: float | None = None
    """Distance from the lanes' edge to the middle of cars parked along the street; None: none park there."""
    lamp_spacing_m: float = 32.0
    sign_spacing_m: float = 40.0
    street_tree_spacing_m: float = 0.0
    fence: str = "none"
    """none, hedge, or a kind of `furniture.fence_panel`."""
    fence_height_m: float = 1.2
    building: str = "none"
    """none, house, row or hall."""
    setback_m: float = 6.0
    """Distance from the start of the last strip to the front of the buildings."""
    garden_trees_per_100m: float = 4.0
    bushes_per_100m: float = 6.0
    backdrop: str = "trees"
    """What closes the view, `backdrop_distance_m` behind the start of the last strip: none, trees or buildings."""
    backdrop_distance_m: float = 38.0
    num_persons: float = 1.0
    """Mean number of people who stand about."""
    outer_slope: float = 0.0
    """Rise of the ground beside the street for each metre outwards."""
    unevenness_m: float = 0.1
    """Amplitude of the swells of the ground beside the street."""
    roughness_m: float = 0.025
    """Standard deviation of the height of natural ground from one knot of its mesh to the next."""

    def edges(self) -> np.ndarray:
        """(strips + 1,) metres from the lanes' edge: the start of each strip, and the end of the last."""
        return np.concatenate([[0], np.cumsum([strip.width_m for strip in self.strips])])

    def outer_start_m(self) -> float:
        """Distance from the lanes' edge to the start of the last strip."""
        return sum(strip.width_m for strip in self.strips[:-1])

    def road_m(self) -> float:
        """Width of the road beyond the lanes' edge."""
        width = 0.0
        for strip in self.strips:
            if strip.raw_id != ROAD:
                break
            width += strip.width_m
        return width

    def bays(self) -> list[tuple[float, float]]:
        """(start, end) of each strip with bays, metres from the lanes' edge."""
        edges = self.edges()
        return [(edges[i], edges[i + 1]) for i, strip in enumerate(self.strips) if strip.is_bays]

    def span(self, name: str) -> tuple[float, float, float] | None:
        """(start, end, height) of the named strip in metres; None if there is none."""
        for strip, start, end in zip(self.strips, self.edges()[:-1], self.edges()[1:], strict=True):
            if strip.name == name:
                return start, end, strip.height_m
        return None


@dataclass(frozen=True)
class SideStreet:
    """A street that leaves the main one at s_m. u is the distance outwards from the edge of the main street's lanes."""

    side: int
    """The side of the main street on which it lies: +1 left, -1 right."""
    s_m: float
    half_width_m: float
    slant: float
    """Metres along the main street for each metre outwards."""
    bend: float
    """Change of the slant for each metre outwards."""
    corner_m: float
    """Radius of its rounded corners."""
    before: Side
    """Its side towards smaller s."""
    beyond: Side
    """Its side towards greater s."""

    def direction(self, u: _Metres) -> _Metres:
        """Metres along the main street for each metre outwards, at u."""
        return self.slant + self.bend * u

    def centre(self, u: _Metres) -> _Metres:
        """s of its centre line at u."""
        return self.s_m + self.slant * u + self.bend * u * u / 2

    def offset(self, s: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Distance of places (s, u) from its centre line, positive towards greater s."""
        slant = self.direction(u)
        return (s - self.centre(u)) / np.sqrt(1 + slant * slant)

    def sides(self) -> tuple[tuple[int, Side], ...]:
        """(sign, side) of both sides; sign is +1 towards greater s."""
        return ((-1, self.before), (1, self.beyond))


@dataclass(frozen=True)
class Block:
    """A stretch of street with the same cross-section throughout. Sides are +1 for left, -1 for right."""

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
    """Length at the block's start without a median, where oncoming traffic moves over to its new lanes."""
    crown_m: float = 0.04
    """How much higher the middle of the carriageway is than its edges."""

    def lane_edge(self, side: int) -> float:
        """d of the edge of the driven lanes on one side."""
        if side < 0:
            return -LANE_WIDTH_M * self.right_lanes
        return self.median_m + LANE_WIDTH_M * self.left_lanes

    def bay_lines(self) -> np.ndarray:
        """s at which each line between the bays of a car park begins; a line is BAY_LINE_M wide. Empty without bays."""
        if not (self.right.bays() or self.left.bays()):
            return np.zeros(0)
        return np.arange(self.start_m + 1.0, self.end_m - 1.0, BAY_WIDTH_M)

    def side(self, side: int) -> Side:
        """The right or left side of the main street."""
        return self.right if side < 0 else self.left

    def streets(self, side: int) -> list[SideStreet]:
        """The side streets on one side."""
        return [street for street in self.side_streets if street.side == side]
