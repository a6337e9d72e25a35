"""The worlds that a user can ask for: one kind of street throughout, or a mixture as in and around a town."""

from dataclasses import dataclass, field

from pvd_core.borders.errors import unknown_name

TOWN_SPEED_MPS = 9.0
_ON_FOOT_OR_BICYCLE = frozenset({"edge", "oncoming_edge", "left_walk", "right_walk"})


@dataclass(frozen=True)
class WorldKind:
    """What distinguishes a world from others."""

    shares: dict[str, float] | None = None
    """{kind of `street_kinds.KINDS`: how common it is}; None: a mixture drawn from the seed."""
    speed_mps: float = TOWN_SPEED_MPS
    """Mean speed of the ego vehicle; it varies by 1.5 m/s."""
    curvature: float = 1.0
    """Factor on the curvature of streets in town."""
    lanes_without_movers: frozenset[str] = field(default=frozenset())
    """Lanes, as of `traffic.Mover.lane`, without traffic."""
    traffic_mps: float | None = None
    """What other vehicles' speeds are in proportion to; None: the mean speed of the ego vehicle."""
    gap_m: float | None = None
    """Every lane is full of vehicles with so much space between them; None: ordinary traffic."""


WORLD_KINDS = {
    "mixed": WorldKind(),
    "residential": WorldKind({"residential": 0.85, "green": 0.15}),
    "city": WorldKind({"city": 0.85, "commercial": 0.15}, curvature=0.6),
    "country": WorldKind({"country": 0.9, "green": 0.1}, speed_mps=16.0, curvature=0.7),
    "highway": WorldKind({"highway": 1.0}, 25.0, 0.15, _ON_FOOT_OR_BICYCLE),
    "parking": WorldKind({"parking": 1.0}, 3.0, 0.1, frozenset({"edge", "oncoming_edge"})),
    "rush-hour": WorldKind({"city": 0.85, "commercial": 0.15}, 1.5, 0.6, traffic_mps=TOWN_SPEED_MPS, gap_m=4.0),
    "full-highway": WorldKind({"highway": 1.0}, 25.0, 0.15, _ON_FOOT_OR_BICYCLE, gap_m=12.0),
}


def world_kind_named(name: str) -> WorldKind:
    """The world of that name; UserError with the closest and the known names if there is none."""
    if name not in WORLD_KINDS:
        raise unknown_name("world", name, WORLD_KINDS)
    return WORLD_KINDS[name]
