"""Settings of grids: those that make no grid are refused with what was found and expected, others travel unchanged."""

import json
import random

import pytest
import torch

from pvd_core.borders.errors import UserError
from pvd_core.models import build_model
from pvd_core.voxels import CartesianGrid, CylindricalGrid, grid_from_settings

GRIDS = [
    CylindricalGrid(),
    CylindricalGrid((24, 18, 8), (1, 30), (-3, 4)),
    CylindricalGrid((120, 360, 32), (1, 50), radial="progressive"),
    CylindricalGrid((10, 360, 32), (0, 50), radial="progressive", first_cell=5),
    CartesianGrid(),
    CartesianGrid(2),
    CartesianGrid(0.2, origin="ground"),
]


@pytest.mark.parametrize("grid", GRIDS)
def test_a_grid_is_made_again_from_its_settings(grid):
    settings = json.loads(json.dumps(grid.settings()))
    again = grid_from_settings(settings)
    assert again == grid
    assert hash(again) == hash(grid)
    assert again.settings() == grid.settings()


def test_settings_without_a_kind_are_of_a_cylindrical_grid():
    assert grid_from_settings({"shape": [24, 18, 8]}) == CylindricalGrid((24, 18, 8))
    assert grid_from_settings({}) == CylindricalGrid()
    assert grid_from_settings({"kind": "cartesian"}) == CartesianGrid(0.05)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "polar"}, "grid kind is 'polar': expected one of cylindrical, cartesian"),
        ({"kind": None}, "grid kind is null"),
        ({"kind": "cartesian", "shape": [8, 8, 8]}, "unknown grid setting 'shape': a cartesian grid has voxel_size"),
        (
            {"voxel_size": 0.1},
            "unknown grid setting 'voxel_size': a cylindrical grid has shape, rho_range",
        ),
        ({"shape": (480, 360)}, "three sizes"),
        ({"shape": 60}, "expected a list"),
        ({"shape": ["a", 2, 2]}, "expected a list of three sizes"),
        ({"shape": [True, 2, 2]}, "whole numbers"),
        ({"shape": None}, "grid shape is null"),
        ({"shape": [2**20, 64, 64]}, "at most 67,108,864 cells"),
        ({"z_range": [1, 2, 3]}, "expected a list of two numbers"),
        ({"z_range": [2, -4]}, "the first must be below the second"),
        ({"z_range": 4}, "grid z_range is 4"),
        ({"rho_range": [0, float("nan")]}, r"grid rho_range is \[0, nan\]"),
        ({"rho_range": [0, float("inf")]}, "up to 10000"),
        ({"rho_range": {"low": 0}}, "expected a list of two numbers"),
        ({"radial": "log"}, "grid radial is 'log': expected one of uniform, progressive"),
        ({"radial": ["progressive"]}, "grid radial is"),
        ({"first_cell": 0.05}, "grid first_cell is 0.05, but radial is uniform"),
        ({"radial": "progressive", "first_cell": 0}, r"first_cell is 0: expected a number of metres from 0\.001"),
        ({"radial": "progressive", "first_cell": -1}, "grid first_cell is -1"),
        ({"radial": "progressive", "first_cell": float("nan")}, "grid first_cell is nan"),
        ({"radial": "progressive", "first_cell": True}, "grid first_cell is true"),
        ({"radial": "progressive", "first_cell": "5 cm"}, "grid first_cell is '5 cm'"),
        ({"radial": "progressive", "first_cell": 0.2}, r"480 rings from 0 to 50 m are 0\.1042 m wide on average"),
        ({"radial": "progressive", "first_cell": float("inf")}, "first_cell is inf"),
        ({"radial": "progressive", "first_cell": 1e-300}, "first_cell is 1e-300"),
        ({"radial": "progressive", "first_cell": 10**400}, "first_cell is 1000"),
        ({"rho_range": [-50, -1]}, r"grid rho_range is \(-50\.0, -1\.0\): expected radii"),
        ({"rho_range": [-50, 50], "radial": "progressive"}, "expected radii, from 0 metres on"),
        ({"rho_range": [0, 1e-300]}, "rho_range is .*, 480 cells in all: expected cells of 0.001 m"),
        ({"z_range": [0, 1e-9]}, "z_range is .*, 32 cells in all: expected cells of 0.001 m"),
        ({"z_range": [0, 10**400]}, "up to 10000"),
        ({"kind": "cartesian", "voxel_size": 0}, r"grid voxel_size is 0: expected a number of metres from 0\.01 to 10"),
        ({"kind": "cartesian", "voxel_size": -0.05}, "grid voxel_size is -0.05"),
        ({"kind": "cartesian", "voxel_size": 0.009}, "grid voxel_size is 0.009"),
        ({"kind": "cartesian", "voxel_size": 11}, "grid voxel_size is 11"),
        ({"kind": "cartesian", "voxel_size": float("nan")}, "grid voxel_size is nan"),
        ({"kind": "cartesian", "voxel_size": "small"}, "grid voxel_size is 'small'"),
        ({"kind": "cartesian", "voxel_size": [0.05] * 3}, "grid voxel_size is"),
        ({"kind": "cartesian", "voxel_size": True}, "grid voxel_size is true"),
        ({"kind": "cartesian", "origin": "centre"}, "grid origin is 'centre': expected lowest or ground"),
        ({"kind": "cartesian", "origin": None}, "grid origin is null"),
        ({"kind": "cartesian", "origin": [0, 0, 0]}, "grid origin is"),
        ({"origin": "ground"}, "unknown grid setting 'origin': a cylindrical grid has"),
    ],
)
def test_settings_that_make_no_grid_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        grid_from_settings(settings)
    if settings.get("kind") != "cartesian":
        with pytest.raises(UserError, match=message):
            build_model({"name": "cylinder3d-compact", "grid": settings})


def test_cylinder3d_refuses_a_grid_that_is_not_cylindrical():
    with pytest.raises(UserError, match="take a cylindrical grid"):
        build_model({"name": "cylinder3d-compact", "grid": {"kind": "cartesian"}})


ODD = [None, True, 0, -1, 1, 2, 3.5, 0.05, 1e-300, 1e300, 10**30, float("nan"), float("inf"), "", "progressive", "5"]
ODD += [[], [1, 2], [0, 50], [-3, 2.0], [8, 8, 8], [2, 2], [1, 2, 3, 4], ["a", "b"], [None] * 3, {}, {"a": 1}]
NAMES = ["kind", "shape", "rho_range", "z_range", "radial", "first_cell", "voxel_size", "origin", "sise"]


def test_settings_at_random_make_a_grid_that_works_or_are_refused():
    chance, num_made, refusals = random.Random(0), 0, set()
    points = torch.tensor([[1.0, 2, 0, 0], [-30.0, 1, 1, 1], [0.0, 0, -9, 0.5]])
    for _ in range(3000):
        good = dict(chance.choice(GRIDS[1:3] + GRIDS[4:]).settings())
        for name in chance.sample(NAMES, chance.randint(0, 2)):
            good[name] = chance.choice([*ODD, "cylindrical", "cartesian", "uniform", "ground"])
        try:
            grid = grid_from_settings(good)
        except ValueError as error:
            refusals.add(str(error))
            continue
        num_made += 1
        batch = grid.voxelise([points])
        assert batch.point_features_PF.shape == (3, grid.num_point_features)
        assert torch.isfinite(grid.centres(batch)).all()
        assert grid_from_settings(grid.settings()) == grid
    assert 300 < num_made < 2700
    assert all("grid" in refusal and len(refusal) < 400 for refusal in refusals)
