"""Worlds of one kind of street look like what their name says."""

import numpy as np
import pytest

pytest.importorskip("embreex", reason="simulating needs embreex: pip install 'pvd_ros[sim]'")

from pvd_core.borders.errors import UserError
from pvd_core.taxonomy import SEMANTICKITTI
from training.simulate import Drive
from training.simulate.sensor.materials import material_index
from training.simulate.street.layout import PARKING
from training.simulate.street.traffic import MOVING_RAW_ID, Traffic
from training.simulate.street.world import StreetWorld, build_block
from training.simulate.street.world_kinds import WORLD_KINDS, world_kind_named

CAR = 10


@pytest.fixture(scope="module")
def shares():
    """{world: share of each class in a scan of it}."""
    return {name: class_shares(name) for name in WORLD_KINDS if name != "mixed"}


def class_shares(world):
    (frame,) = Drive(21, 1, "vlp16", 1.0, world=world).frames()
    counts = np.bincount(SEMANTICKITTI.class_ids_from_raw(frame.labels), minlength=SEMANTICKITTI.num_classes)
    return dict(zip(SEMANTICKITTI.names, counts / counts.sum(), strict=True))


@pytest.mark.slow
def test_town_has_buildings_beside_its_streets(shares):
    assert shares["city"]["building"] > 0.1
    assert shares["residential"]["building"] > 0.03
    assert shares["city"]["sidewalk"] > shares["residential"]["sidewalk"]
    assert shares["residential"]["vegetation"] > shares["city"]["vegetation"]


@pytest.mark.slow
def test_country_road_lies_between_fields_and_trees(shares):
    country = shares["country"]
    assert country["terrain"] + country["vegetation"] > 0.4
    assert country["terrain"] + country["vegetation"] > 5 * country["building"]


@pytest.mark.slow
def test_highway_is_wide_and_has_nobody_on_foot_or_bicycle(shares):
    highway = shares["highway"]
    assert highway["road"] > 0.2
    assert all(
        block.right_lanes == block.left_lanes == 2 and block.median_m > 0
        for block in StreetWorld(21, 1000, WORLD_KINDS["highway"]).blocks
    )
    assert highway["person"] == highway["bicyclist"] == highway["building"] == 0


@pytest.mark.slow
def test_car_park_is_full_of_cars_on_ground_of_class_parking(shares):
    assert shares["parking"]["parking"] > 0.1
    assert shares["parking"]["car"] > 2 * shares["residential"]["car"]


@pytest.fixture(scope="module")
def car_park():
    """The mesh of one block."""
    world = StreetWorld(5, 400, WORLD_KINDS["parking"])
    return build_block(5, world.blocks[1], world.route)


def test_cars_of_a_car_park_stand_on_parking_and_have_numbers_of_their_own(car_park):
    corners = car_park.vertices[car_park.triangles]
    is_ground = np.isin(car_park.raw_ids, (PARKING, 40, 48, 49, 72))
    places, ground_ids = corners[is_ground].mean(axis=1)[:, :2], car_park.raw_ids[is_ground]
    cars = np.unique(car_park.instances[car_park.raw_ids == CAR])
    below = []
    for instance in cars:
        chosen = (car_park.instances == instance) & (car_park.raw_ids == CAR)
        middle = corners[chosen].reshape(-1, 3)[:, :2]
        assert (np.ptp(middle, axis=0) < 6.5).all()  # a number shared by two cars would span bays
        below.append(ground_ids[np.linalg.norm(places - middle.mean(axis=0), axis=1).argmin()])
    assert len(cars) > 50
    assert np.mean(np.array(below) == PARKING) > 0.95


def test_bays_of_a_car_park_are_marked_with_lines(car_park):
    is_line = (car_park.raw_ids == PARKING) & (car_park.materials == material_index("marking"))
    is_bay = (car_park.raw_ids == PARKING) & ~is_line
    area = lambda chosen: np.linalg.norm(  # noqa: E731
        np.cross(*np.diff(car_park.vertices[car_park.triangles[chosen]], axis=1).transpose(1, 0, 2)), axis=1
    ).sum()
    assert 0.01 < area(is_line) / area(is_bay) < 0.06


@pytest.mark.parametrize("name", [name for name in WORLD_KINDS if name != "mixed"])
def test_world_has_no_other_streets_than_its_own(name):
    kind = WORLD_KINDS[name]
    assert {block.kind for block in StreetWorld(3, 3000, kind).blocks} == set(kind.shares)


def test_vehicles_drive_as_fast_as_the_street_allows():
    def metres_in_ten_seconds(world):
        return np.linalg.norm(Drive(2, 11, "vlp16", 1.0, world=world).pose(10)[:3, 3])

    assert metres_in_ten_seconds("highway") > 200
    assert metres_in_ten_seconds("parking") < 50
    assert 60 < metres_in_ten_seconds("mixed") < 110


@pytest.mark.parametrize(("world", "ordinary"), [("rush-hour", "city"), ("full-highway", "highway")])
def test_full_lanes_hide_the_street_behind_what_moves(world, ordinary):
    def moving_share(world):
        (frame,) = Drive(4, 1, "vlp16", world=world).frames()
        return np.isin(frame.labels & 0xFFFF, list(MOVING_RAW_ID.values())).mean()

    assert moving_share(world) > 0.1 > 2 * moving_share(ordinary)


def test_a_queue_follows_the_ego_vehicle_and_others_flow_by():
    kind = WORLD_KINDS["rush-hour"]
    drive = Drive(4, 101, "vlp16", 0.25, world="rush-hour")
    places = np.array([drive.pose(index)[:3, 3] for index in range(101)])
    steps_m = np.linalg.norm(np.diff(places, axis=0), axis=1)
    assert steps_m.min() < 0.04 < 0.5 < steps_m.max()  # stands, and moves
    movers = Traffic(4, kind)._movers
    assert sorted(mover.slot for mover in movers) == list(range(len(movers)))
    lanes = {lane: [mover for mover in movers if mover.lane == lane] for lane in ("ego", "second", "oncoming")}
    assert all(mover.follows_ego and abs(mover.start_m) > kind.gap_m + 3 for mover in lanes["ego"])
    for lane in ("second", "oncoming"):
        (speed_mps,) = {mover.speed_mps for mover in lanes[lane]}
        assert abs(speed_mps) > 7
    for of_lane in lanes.values():
        ordered = sorted(of_lane, key=lambda mover: mover.start_m)
        halves = [np.ptp(mover.shapes[0].vertices[:, 0]) / 2 for mover in ordered]
        between = np.diff([mover.start_m for mover in ordered]) - halves[:-1] - halves[1:]
        # The ego vehicle itself is in one place of its lane.
        assert np.isclose(between, kind.gap_m).sum() >= len(between) - (of_lane is lanes["ego"])


def test_unknown_world_is_refused_with_the_closest_and_the_known_ones():
    with pytest.raises(UserError, match=r"unknown world 'higway'; did you mean 'highway'\? known worlds are city, co"):
        world_kind_named("higway")
