"""From points to voxels and back: grids, point features, the voxel batch, reductions over the points of a voxel."""

from pvd_core.voxels.batch import VoxelBatch, voxelise
from pvd_core.voxels.features import NUM_POINT_FEATURES, point_features
from pvd_core.voxels.grid import CylindricalGrid
from pvd_core.voxels.reductions import majority_labels, max_of_points

__all__ = [
    "NUM_POINT_FEATURES",
    "CylindricalGrid",
    "VoxelBatch",
    "majority_labels",
    "max_of_points",
    "point_features",
    "voxelise",
]
