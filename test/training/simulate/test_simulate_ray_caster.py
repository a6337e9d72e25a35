"""The ray caster finds what Open3D's finds, and says which extra installs it."""

import sys

import numpy as np
import pytest

from pvd_core.borders.errors import UserError
from training.simulate.sensor.ray_caster import RayCaster
from training.simulate.sensor.scanner import Scanner
from training.simulate.sensor.sensors import VLP16
from training.simulate.shapes import buildings, furniture, people, plants, vehicles
from training.simulate.shapes.mesh import join, solid
from training.simulate.shapes.primitives import grid_triangles

NO_EMBREEX = "simulating needs embreex: pip install 'pvd_ros[sim]'"


@pytest.fixture(scope="module")
def street():
    """(vertices (V, 3) float32, triangles (T, 3) int32) of uneven ground with a few objects on it."""
    random = np.random.default_rng(3)
    objects = [
        buildings.building(random, 12.0, 9.0, 2).moved(y=9),
        vehicles.car(random).moved(x=8, y=-3, yaw=0.2),
        people.person(random).moved(x=-5, y=2),
        plants.tree(random).moved(x=-12, y=-7),
        furniture.fence_panel(random, "picket", 10.0, 1.1).moved(x=3, y=-9),
    ]
    mesh = join([uneven_ground(random), *objects])
    return mesh.vertices.astype(np.float32), mesh.triangles


@pytest.fixture(scope="module")
def rays():
    """(origins, directions) of all beams of a VLP-16 1.73 m above the middle of the street, (N, 3) float32 each."""
    directions = VLP16.directions().reshape(-1, 3).astype(np.float32)
    return np.tile(np.array([0.1, 0.2, 1.73], np.float32), (len(directions), 1)), directions


def test_ranges_triangles_and_normals_equal_those_of_open3d(street, rays):
    pytest.importorskip("embreex", reason=NO_EMBREEX)
    open3d = pytest.importorskip("open3d", reason="Open3D is the other ray caster here")
    vertices, triangles = street
    origins, directions = rays

    ours = RayCaster(vertices, triangles).first_hits(origins, directions)

    scene = open3d.t.geometry.RaycastingScene()
    scene.add_triangles(open3d.core.Tensor(vertices), open3d.core.Tensor(triangles.astype(np.uint32)))
    cast = scene.cast_rays(open3d.core.Tensor(np.hstack([origins, directions])))
    theirs = {name: values.numpy() for name, values in cast.items()}
    hit = np.flatnonzero(np.isfinite(theirs["t_hit"]))
    assert 0.5 * len(origins) < len(hit) < len(origins)
    assert len(np.unique(ours.triangles_H)) > 800
    np.testing.assert_array_equal(ours.rays_H, hit)
    np.testing.assert_array_equal(ours.ranges_H, theirs["t_hit"][hit])
    np.testing.assert_array_equal(ours.triangles_H, theirs["primitive_ids"][hit])
    np.testing.assert_array_equal(ours.normals_H3, theirs["primitive_normals"][hit])


def test_hits_lie_on_the_triangles_that_they_name(street, rays):
    pytest.importorskip("embreex", reason=NO_EMBREEX)
    vertices, triangles = street
    origins, directions = rays

    hits = RayCaster(vertices, triangles).first_hits(origins, directions)

    assert hits.ranges_H.dtype == hits.normals_H3.dtype == np.float32
    points = origins[hits.rays_H] + directions[hits.rays_H] * hits.ranges_H[:, None]
    corners = vertices[triangles[hits.triangles_H]]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).astype(np.float64)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    np.testing.assert_allclose(np.einsum("nc,nc->n", points - corners[:, 0], normals), 0, atol=1e-4)
    np.testing.assert_allclose(hits.normals_H3, normals, atol=1e-3)


def test_rays_that_hit_nothing_are_left_out():
    pytest.importorskip("embreex", reason=NO_EMBREEX)
    wall = np.array([(5, -1, -1), (5, 1, -1), (5, 0, 2)], np.float32)
    caster = RayCaster(wall, np.array([(0, 1, 2)], np.int32))

    hits = caster.first_hits(np.zeros((3, 3), np.float32), np.array([(0, 1, 0), (1, 0, 0), (-1, 0, 0)], np.float32))

    assert hits.rays_H.tolist() == [1]
    assert hits.ranges_H.tolist() == [5]
    assert hits.triangles_H.tolist() == [0]


@pytest.mark.parametrize("missing", ["embreex.rtcore_scene", "embreex.mesh_construction"])
def test_a_missing_embreex_is_reported_with_the_extra_that_installs_it(monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)

    with pytest.raises(UserError, match=r"simulating needs embreex.*pip install 'pvd_ros\[sim\]'"):
        Scanner(VLP16)


def uneven_ground(random):
    """60 x 60 metres in cells of 2 metres."""
    x, y = np.meshgrid(np.linspace(-30, 30, 31), np.linspace(-30, 30, 31))
    heights = random.uniform(-0.1, 0.1, x.shape)
    return solid(np.stack([x, y, heights], axis=-1), grid_triangles(31, 31), "grass")
