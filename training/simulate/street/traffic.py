"""Everything that moves: vehicles, riders and walkers around the ego vehicle. Places depend only on the time.

A mover that leaves the stretch around the ego vehicle enters it again at the other end, out of sight, as a new
instance. So the traffic stays equally dense on drives of any length.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from training.simulate.shapes import people, two_wheelers, vehicles
from training.simulate.shapes.mesh import Mesh, join
from training.simulate.street.ground import ground_height
from training.simulate.street.layout import LANE_WIDTH_M, Block
from training.simulate.street.world import StreetWorld
from training.simulate.street.world_kinds import TOWN_SPEED_MPS, WorldKind

MOVING_RAW_ID = {10: 252, 13: 257, 18: 258, 20: 259, 30: 254, 31: 253, 32: 255}
_FIRST_INSTANCE = 30002
_NUM_INSTANCES = 65535 - _FIRST_INSTANCE
_REACH_M = 90.0
_RARE_REACH_M = 180.0
_NUM_SHAPES = 6
_HALF_EGO_M = 2.5  # half the length of the ego vehicle
_SLOW_LANES = ("edge", "oncoming_edge", "left_walk", "right_walk")


@dataclass(frozen=True)
class Mover:
    """An object that travels along the street."""

    slot: int
    """Its index among the movers, from which instance ids follow."""
    lane: str
    """Where across the street it travels: "ego", "second" (right of the ego's), "edge", "oncoming", "oncoming_edge",
    "left_walk" or "right_walk"."""
    start_m: float
    """Metres along the street at time 0."""
    speed_mps: float
    """Along the street; negative for the other direction."""
    follows_ego: bool
    """Whether it keeps its distance from the ego vehicle, about `start_m` ahead, instead of its speed."""
    offset_m: float
    """To the left of the middle of its lane."""
    reach_m: float
    """Half the length of the stretch around the ego vehicle in which it travels."""
    shapes: tuple[Mesh, ...]
    """One mesh, or one for each phase of a stride."""


class Traffic:
    """The movers of one seed in one kind of world."""

    def __init__(self, seed: int, kind: WorldKind) -> None:
        pace = (kind.traffic_mps or kind.speed_mps) / TOWN_SPEED_MPS
        movers = _draw_movers(np.random.default_rng([seed, 5]))
        if kind.gap_m is not None:
            slow = [mover for mover in movers if mover.lane in _SLOW_LANES]
            movers = [*_draw_full_lanes(np.random.default_rng([seed, 11]), kind.gap_m), *slow]
            movers = [replace(mover, slot=slot) for slot, mover in enumerate(movers)]
        self._movers = [
            replace(mover, speed_mps=mover.speed_mps * (1.0 if mover.lane in _SLOW_LANES else pace))
            for mover in movers
            if mover.lane not in kind.lanes_without_movers
        ]

    def meshes(self, world: StreetWorld, ego_s: float, time_s: float) -> Mesh:
        """One mesh of all movers at `time_s`, in world coordinates, with raw ids of moving classes and instance ids.

        ego_s: s of the ego vehicle at that time.
        """
        placed = []
        for mover in self._movers:
            relative, lap = _position(mover, ego_s, time_s)
            s = ego_s + relative
            block = world.block_at(s)
            lateral = _lateral(mover, world, s, block)
            if lateral is None or (abs(relative) < 4.5 and mover.lane == "ego"):
                continue
            d, height = lateral
            yaw = (np.pi if mover.speed_mps < 0 else 0.0) + _lane_change_angle(mover, world, s, d)
            instance = _FIRST_INSTANCE + (mover.slot + lap * len(self._movers)) % _NUM_INSTANCES
            mesh = mover.shapes[int(abs(s) / 0.25) % len(mover.shapes)] if len(mover.shapes) > 1 else mover.shapes[0]
            placed.append(world.route.placed(mesh.numbered(instance), s, d, height, yaw))
        return join(placed)


def moving(mesh: Mesh) -> Mesh:
    """The mesh with each raw id replaced by that of the moving class."""
    raw_ids = mesh.raw_ids.copy()
    for still, moves in MOVING_RAW_ID.items():
        raw_ids[mesh.raw_ids == still] = moves
    return replace(mesh, raw_ids=raw_ids)


def _position(mover: Mover, ego_s: float, time_s: float) -> tuple[float, int]:
    """(metres ahead of the ego vehicle, how often it has entered the stretch again)."""
    if mover.follows_ego:
        return mover.start_m + 1.5 * np.sin(0.2 * time_s + mover.slot), 0
    travelled = mover.start_m + mover.speed_mps * time_s - ego_s + mover.reach_m
    lap = int(np.floor(travelled / (2 * mover.reach_m)))
    return travelled - lap * 2 * mover.reach_m - mover.reach_m, lap


def _lateral(mover: Mover, world: StreetWorld, s: float, block: Block) -> tuple[float, float] | None:
    """(d, height) on the street at s, or None where the block has no such lane."""
    if mover.lane == "ego":
        return -LANE_WIDTH_M / 2 + mover.offset_m, 0.0
    if mover.lane == "edge":
        return -LANE_WIDTH_M - 0.25 + mover.offset_m, 0.0
    if mover.lane == "second":
        return (-1.5 * LANE_WIDTH_M + mover.offset_m, 0.0) if block.right_lanes > 1 else None
    if mover.lane in ("oncoming", "oncoming_edge"):
        inset = LANE_WIDTH_M / 2 if mover.lane == "oncoming" else -0.2
        return _left_edge(world, s, block) - inset + mover.offset_m, 0.0
    side = -1 if mover.lane == "right_walk" else 1
    style = block.side(side)
    if style.num_persons == 0:
        return None
    walk = style.span("sidewalk")
    distance = (walk[0] + walk[1]) / 2 if walk else 1.2
    height = ground_height(block, side, s, distance + mover.offset_m)
    return block.lane_edge(side) + side * (distance + mover.offset_m), height


def _left_edge(world: StreetWorld, s: float, block: Block) -> float:
    """d of the left edge of the oncoming lanes. At a block's start it moves smoothly from that of the block before."""
    before = world.blocks[max(0, block.index - 1)].lane_edge(1)
    share = np.clip((s - block.start_m) / (block.crossing_m + 1), 0, 1)
    return before + (block.lane_edge(1) - before) * share * share * (3 - 2 * share)


def _lane_change_angle(mover: Mover, world: StreetWorld, s: float, d: float) -> float:
    """Radians by which an oncoming vehicle turns left where the left edge moves."""
    if not mover.lane.startswith("oncoming"):
        return 0.0
    further = _lateral(mover, world, s + 1.0, world.block_at(s + 1.0))
    assert further is not None  # oncoming lanes are in every block
    return float(np.arctan(further[0] - d))


def _draw_movers(random: np.random.Generator) -> list[Mover]:
    movers: list[Mover] = []

    def add(
        lane: str,
        make: tuple[Mesh, ...],
        start: float,
        speed: float,
        follows: bool = False,
        offset: float = 0.0,
        reach: float = _REACH_M,
    ) -> None:
        movers.append(Mover(len(movers), lane, float(start), float(speed), follows, float(offset), reach, make))

    def vehicle() -> tuple[Mesh]:
        makers = (vehicles.car, vehicles.van, vehicles.truck, vehicles.other_vehicle)
        make = makers[random.choice(4, p=(0.9, 0.09, 0.005, 0.005))]
        return (moving(make(random)),)

    def one(make: Callable[[np.random.Generator], Mesh]) -> tuple[Mesh]:
        return (moving(make(random)),)

    add("ego", one(vehicles.car), random.uniform(15, 60), 10, follows=True)
    add("ego", one(vehicles.car), -random.uniform(15, 60), 10, follows=True)
    add(
        "ego",
        one(two_wheelers.motorcyclist),
        random.uniform(12, 40),
        10,
        follows=True,
        offset=random.uniform(-0.6, 0.6),
    )
    speed = random.uniform(8, 13)
    turn = random.uniform(0, 2 * _REACH_M)
    for index, place in enumerate(np.arange(0, 2 * _REACH_M, 22.5)):
        start = (place + turn) % (2 * _REACH_M)
        if random.random() < (0.2 if index else 1.0):
            add("oncoming", vehicle(), start + random.uniform(-3, 3), -speed, offset=random.normal(0, 0.15))
    for make in (vehicles.truck, vehicles.other_vehicle, two_wheelers.motorcyclist):
        add("oncoming", one(make), random.uniform(0, 2 * _RARE_REACH_M), -speed, reach=_RARE_REACH_M)
    speed = random.uniform(9, 14)
    for start in np.arange(0, 2 * _REACH_M, 36):
        add("second", vehicle(), start + random.uniform(-8, 8), speed, offset=random.normal(0, 0.1))
    speed = random.uniform(3.5, 6)
    for lane, sign in (("edge", 1), ("oncoming_edge", -1)):
        start = random.uniform(0, 180)
        add(lane, one(two_wheelers.bicyclist), start, sign * speed, offset=random.normal(0, 0.2), reach=90.0)
    for lane in ("left_walk", "right_walk"):
        for _ in range(2):
            shapes = _stride(random)
            walk = random.uniform(0.8, 1.7) * random.choice((-1, 1))
            add(lane, shapes, random.uniform(0, 120), walk, offset=random.uniform(-0.7, 0.7), reach=60.0)
    return movers


def _draw_full_lanes(random: np.random.Generator, gap_m: float) -> list[Mover]:
    """Vehicles in all lanes of vehicles, `gap_m` from one to the next, a third of them larger than cars. Those of a
    lane are equally fast; the ego vehicle's lane keeps its distance from it. Slots are all 0."""
    makers = (vehicles.car, vehicles.van, vehicles.truck, vehicles.other_vehicle)

    def lane(name: str, length_m: float, speed_mps: float) -> Iterator[Mover]:
        place = gap_m
        while True:
            mesh = moving(makers[random.choice(4, p=(0.66, 0.16, 0.12, 0.06))](random))
            half_m = float(np.ptp(mesh.vertices[:, 0])) / 2
            if place + 2 * half_m > length_m:
                return
            offset_m = float(random.normal(0, 0.1))
            yield Mover(0, name, place + half_m, speed_mps, name == "ego", offset_m, _REACH_M, (mesh,))
            place += 2 * half_m + gap_m

    ahead, behind = (list(lane("ego", _REACH_M - _HALF_EGO_M, 10.0)) for _ in range(2))
    second = lane("second", 2 * _REACH_M, random.uniform(9, 14))
    oncoming = lane("oncoming", 2 * _REACH_M, -random.uniform(8, 13))
    return [
        *(replace(mover, start_m=mover.start_m + _HALF_EGO_M) for mover in ahead),
        *(replace(mover, start_m=-mover.start_m - _HALF_EGO_M) for mover in behind),
        *second,
        *oncoming,
    ]


def _stride(random: np.random.Generator) -> tuple[Mesh, ...]:
    """The phases of one person's stride: the same person with other positions of the limbs."""
    seed = int(random.integers(1 << 31))
    phases = np.arange(_NUM_SHAPES) * 2 * np.pi / _NUM_SHAPES
    return tuple(moving(people.person(np.random.default_rng(seed), phase)) for phase in phases)
