"""A batch of voxelised scans: features of the points, the occupied voxels, and the voxel of each point.

P points of all scans, V voxels, F point features, B scans.
"""

from dataclasses import dataclass, replace
from typing import Protocol

import torch

from pvd_core.voxels.voxeliser import Triple, Voxeliser


class PointsInVoxels(Protocol):
    """The part of a VoxelBatch that networks read; programs of fixed shapes have a batch of their own."""

    @property
    def point_features_PF(self) -> torch.Tensor: ...
    @property
    def point_to_voxel_P(self) -> torch.Tensor: ...
    @property
    def num_voxels(self) -> int: ...


@dataclass(frozen=True)
class VoxelBatch:
    """The points of B scans and the voxels they occupy."""

    point_features_PF: torch.Tensor  # float32 (P, F), F is the grid's num_point_features
    coords_V4: torch.Tensor  # int64 (V, 4): scan, and an index along each axis of the grid; sorted, distinct
    point_to_voxel_P: torch.Tensor  # int64 (P,)
    num_points_V: torch.Tensor  # int64 (V,): number of points in each voxel, at least 1
    num_points_per_scan: tuple[int, ...]
    grid: Voxeliser
    shape: Triple  # cells along each axis; all of coords_V4[:, 1:] lie inside
    lowest_B3: torch.Tensor  # int64 (B, 3): index on the grid of each scan's cell (0, 0, 0)

    @property
    def batch_size(self) -> int:
        return len(self.num_points_per_scan)

    @property
    def num_voxels(self) -> int:
        return self.coords_V4.shape[0]

    def aligned_to(self, other: "VoxelBatch", steps: Triple) -> "VoxelBatch":
        """The same voxels in the same order, counted in each scan from a corner that is less than `steps` cells lower,
        a whole multiple of `steps` away from the corner of the same scan in `other`. Networks whose coarsest cells span
        `steps` cells then cut both batches into the same cells on every level."""
        down_B3 = (self.lowest_B3 - other.lowest_B3) % self.lowest_B3.new_tensor(steps)
        if not down_B3.any():
            return self
        coords_V4 = self.coords_V4.clone()
        coords_V4[:, 1:] += down_B3.index_select(0, coords_V4[:, 0])
        x, y, z = (size + more for size, more in zip(self.shape, down_B3.amax(dim=0).tolist(), strict=True))
        return replace(self, coords_V4=coords_V4, shape=(x, y, z), lowest_B3=self.lowest_B3 - down_B3)

    def scan(self, number: int) -> "VoxelBatch":
        """Scan 0..B-1 as a batch of one scan."""
        if self.batch_size == 1:
            return self
        first_point = sum(self.num_points_per_scan[:number])
        points = slice(first_point, first_point + self.num_points_per_scan[number])
        is_of_scan_V = self.coords_V4[:, 0] == number
        coords_V4 = self.coords_V4[is_of_scan_V]
        num_voxels_before = int((self.coords_V4[:, 0] < number).sum())
        return VoxelBatch(
            point_features_PF=self.point_features_PF[points],
            coords_V4=torch.cat((torch.zeros_like(coords_V4[:, :1]), coords_V4[:, 1:]), dim=1),
            point_to_voxel_P=self.point_to_voxel_P[points] - num_voxels_before,
            num_points_V=self.num_points_V[is_of_scan_V],
            num_points_per_scan=self.num_points_per_scan[number : number + 1],
            grid=self.grid,
            shape=self.shape,
            lowest_B3=self.lowest_B3[number : number + 1],
        )
