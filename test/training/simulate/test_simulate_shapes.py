"""Objects are put together right: sizes, classes, feet on the ground."""

import numpy as np
import pytest

from training.simulate.sensor.materials import material_index
from training.simulate.shapes import buildings, furniture, people, plants, two_wheelers, vehicles
from training.simulate.shapes.mesh import join
from training.simulate.shapes.primitives import box, grid_triangles, prism, tube
from training.simulate.street.ground import ground_mesh
from training.simulate.street.layout import ROAD, SIDEWALK, TERRAIN, Block, Side, SideStreet, Strip
from training.simulate.street.route import Route

# Builder, raw ids it may use, and bounds of (length, width, height) in metres.
OBJECTS = [
    (vehicles.car, {10}, (3.4, 1.5, 1.3), (5.1, 2.4, 1.9)),
    (vehicles.van, {10}, (4.6, 1.8, 1.8), (6.1, 2.2, 2.6)),
    (vehicles.truck, {18}, (5.9, 2.2, 2.4), (10.8, 2.7, 3.9)),
    (vehicles.bus, {13}, (9.9, 2.4, 2.8), (12.7, 2.7, 3.6)),
    (vehicles.trailer, {20}, (3.0, 1.3, 0.8), (7.5, 2.5, 2.8)),
    (vehicles.tractor, {20}, (3.5, 1.5, 2.2), (6.0, 2.6, 3.3)),
    (people.person, {30}, (0.2, 0.3, 1.0), (1.1, 1.0, 2.0)),
    (two_wheelers.bicycle, {11}, (1.5, 0.5, 0.9), (2.1, 1.0, 1.3)),
    (two_wheelers.motorcycle, {15}, (1.5, 0.6, 1.0), (2.5, 1.3, 1.6)),
    (two_wheelers.bicyclist, {31}, (1.5, 0.5, 1.5), (2.1, 1.0, 2.1)),
    (two_wheelers.motorcyclist, {32}, (1.5, 0.6, 1.4), (2.5, 1.0, 2.1)),
    (plants.tree, {70, 71}, (1.0, 1.0, 3.0), (16.0, 16.0, 20.0)),
    (plants.bush, {70}, (0.5, 0.4, 0.4), (6.5, 8.5, 6.0)),
    (furniture.lamp, {80}, (0.1, 0.2, 4.0), (0.5, 3.0, 10.0)),
    (furniture.traffic_sign, {80, 81}, (0.05, 0.4, 2.0), (0.5, 3.4, 5.0)),
]


@pytest.mark.parametrize(
    ("build", "raw_ids", "smallest", "largest"), OBJECTS, ids=lambda value: getattr(value, "__name__", "")
)
def test_object_has_its_size_and_class_and_stands_on_the_ground(build, raw_ids, smallest, largest):
    random = np.random.default_rng(3)
    for _ in range(25):
        mesh = build(random)
        low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
        assert set(np.unique(mesh.raw_ids)) == raw_ids
        assert (high - low >= smallest).all()
        assert (high - low <= largest).all()
        assert -0.7 <= low[2] <= 0.4
        assert np.isfinite(mesh.vertices).all()
        assert mesh.triangles.min() >= 0
        assert mesh.triangles.max() < len(mesh.vertices)


def test_building_has_windows_set_back_into_its_front():
    random = np.random.default_rng(0)
    mesh = buildings.building(random, 12, 10, 2, "flat")
    assert set(np.unique(mesh.raw_ids)) == {50}

    panes = mesh.triangles[mesh.materials == material_index("window")]
    depth = mesh.vertices[panes][:, :, 1].mean(axis=1)
    front = depth[depth < 1]
    assert len(front) >= 6
    assert ((front > 0.1) & (front < 0.35)).all()


@pytest.mark.parametrize("kind", ["picket", "planks", "mesh", "wall", "low_wall", "rail", "bars"])
def test_fence_panel_is_as_long_as_asked(kind):
    mesh = furniture.fence_panel(np.random.default_rng(1), kind, 2.5, 1.2)
    extent = np.ptp(mesh.vertices, axis=0)
    assert 2.4 < extent[0] < 2.7
    assert set(np.unique(mesh.raw_ids)) == {51}


def test_box_encloses_its_volume():
    mesh = box((2, 3, 4), (1, 1, 1), "stone")
    corners = mesh.vertices[mesh.triangles] - (1, 1, 1)
    volume = np.abs(np.einsum("ti,ti->t", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))).sum() / 6
    assert volume == pytest.approx(24)


def test_tube_has_its_radius_along_its_whole_length():
    mesh = tube((0, 0, 0), (0, 0, 5), 0.5, "steel", sides=12)
    rim = mesh.vertices[:24]
    np.testing.assert_allclose(np.hypot(rim[:, 0], rim[:, 1]), 0.5, atol=1e-9)
    assert mesh.vertices[:, 2].min() == 0
    assert mesh.vertices[:, 2].max() == 5


def test_prism_spans_its_width():
    mesh = prism([(0, 0), (2, 0), (2, 1), (0, 1)], 3.0, "panel", 2.0)
    assert np.ptp(mesh.vertices[mesh.vertices[:, 2] == 0][:, 1]) == pytest.approx(3)
    assert np.ptp(mesh.vertices[mesh.vertices[:, 2] == 1][:, 1]) == pytest.approx(2)


def test_grid_triangles_cover_each_cell_twice_in_row_major_order():
    triangles = grid_triangles(3, 4)
    assert triangles.shape == (12, 3)
    assert set(triangles[0]) | set(triangles[1]) == {0, 1, 4, 5}
    assert set(triangles[-1]) | set(triangles[-2]) == {6, 7, 10, 11}


def test_joined_meshes_keep_their_triangles_apart():
    first = box((1, 1, 1), (0, 0, 0), "stone").labelled(50)
    second = box((1, 1, 1), (5, 0, 0), "leaf").labelled(70).numbered(9)
    both = join([first, second])
    of_second = both.vertices[both.triangles[both.raw_ids == 70]]
    assert of_second[..., 0].min() == 4.5
    assert set(both.instances[both.raw_ids == 70]) == {9}
    assert len(join([]).triangles) == 0


def test_side_street_is_road_between_pavements_that_bend_round_its_corners():
    strips = (Strip("sidewalk", 2.0, SIDEWALK, "paving", 0.1), Strip("outer", 75.0, TERRAIN, "grass", 0.1))
    side = Side(strips=strips, roughness_m=0.0, unevenness_m=0.0)
    street = SideStreet(1, 50.0, 3.0, 0.2, 0.0, 6.0, before=side, beyond=side)
    block = Block(0, 0.0, 100.0, "residential", right=side, left=side, side_streets=(street,), crown_m=0.0)
    route = Route(1, 100)
    mesh = ground_mesh(block, route, np.random.default_rng(0))
    middles = mesh.vertices[mesh.triangles].mean(axis=1)

    def raw_id_at(s, u):
        place = route.to_world(s, block.lane_edge(1) + u, 0.0)
        return mesh.raw_ids[np.linalg.norm((middles - place)[:, :2], axis=1).argmin()]

    for u in (1.0, 10.0, 30.0):
        assert raw_id_at(street.centre(u), u) == ROAD
        if u > 6:
            assert raw_id_at(street.centre(u) + 4.2, u) == SIDEWALK
            assert raw_id_at(street.centre(u) - 8.0, u) == TERRAIN
    assert raw_id_at(54.0, 0.5) == ROAD  # a square corner would have pavement here
    assert raw_id_at(20.0, 1.0) == SIDEWALK
