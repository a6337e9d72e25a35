"""The worlds one can ask for: one kind of street throughout, or mixed as on a drive through a town and out of it."""

from dataclasses import dataclass, field

from pvd_core.borders.errors import unknown_name

TOWN_SPEED_MPS = 9.0
_ON_FOOT_OR_BICYCLE = frozenset({"edge", "oncoming_edge", "left_walk", "right_walk"})


@dataclass(frozen=True)
class WorldKind:
    shares: dict[str, float] | None = None
    """How common each kind of street is, see `styles.KINDS`; None: as the seed's flavour has it."""
    speed_mps: float = TOWN_SPEED_MPS
    """Of the ego vehicle; other vehicles' speeds grow with it."""
    curvature: float = 1.0
    """Factor on that of the streets in town."""
    lanes_without_movers: frozenset[str] = field(default=frozenset())
    """See `traffic.Mover.lane`."""


WORLD_KINDS = {
    "mixed": WorldKind(),
    "residential": WorldKind({"residential": 0.85, "green": 0.15}),
    "city": WorldKind({"city": 0.85, "commercial": 0.15}, curvature=0.6),
    "country": WorldKind({"country": 0.9, "green": 0.1}, speed_mps=16.0, curvature=0.7),
    "highway": WorldKind({"highway": 1.0}, 25.0, 0.15, _ON_FOOT_OR_BICYCLE),
    "parking": WorldKind({"parking": 1.0}, 3.0, 0.1, frozenset({"edge", "oncoming_edge"})),
}


def world_kind_named(name):
    if name not in WORLD_KINDS:
        raise unknown_name("world", name, WORLD_KINDS)
    return WORLD_KINDS[name]
