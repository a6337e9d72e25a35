"""Voxels of points: the grid, features of points, batches of voxelised scans, reductions over the points of a voxel."""

from pvd_core.voxels.batch import PointsInVoxels, VoxelBatch, voxelise
from pvd_core.voxels.features import NUM_POINT_FEATURES, point_features
from pvd_core.voxels.grid import CylindricalGrid
from pvd_core.voxels.reductions import majority_labels, max_of_points

__all__ = [
    "NUM_POINT_FEATURES",
    "CylindricalGrid",
    "PointsInVoxels",
    "VoxelBatch",
    "majority_labels",
    "max_of_points",
    "point_features",
    "voxelise",
]
