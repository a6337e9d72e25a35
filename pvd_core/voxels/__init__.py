"""Voxels of points: grids, features of points, batches of voxelised scans, reductions over the points of a voxel."""

from pvd_core.voxels.batch import PointsInVoxels, VoxelBatch
from pvd_core.voxels.cartesian import CartesianGrid
from pvd_core.voxels.cylindrical import CylindricalGrid
from pvd_core.voxels.features import NUM_POINT_FEATURES, point_features
from pvd_core.voxels.kinds import grid_from_settings
from pvd_core.voxels.reductions import first_of_points, majority_labels, max_of_points, mean_of_points
from pvd_core.voxels.voxeliser import Voxeliser

__all__ = [
    "NUM_POINT_FEATURES",
    "CartesianGrid",
    "CylindricalGrid",
    "PointsInVoxels",
    "VoxelBatch",
    "Voxeliser",
    "first_of_points",
    "grid_from_settings",
    "majority_labels",
    "max_of_points",
    "mean_of_points",
    "point_features",
]
