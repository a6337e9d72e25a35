"""A batch of voxelised scans: features of the points, the occupied voxels, and the voxel of each point.

P points of all scans, V voxels, F point features, B scans.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from pvd_core.native import cells
from pvd_core.voxels.features import point_features
from pvd_core.voxels.grid import CylindricalGrid


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

    point_features_PF: torch.Tensor  # float32 (P, 9)
    coords_V4: torch.Tensor  # int64 (V, 4): scan, rho, phi, z; sorted, distinct
    point_to_voxel_P: torch.Tensor  # int64 (P,)
    num_points_V: torch.Tensor  # int64 (V,): number of points in each voxel, at least 1
    num_points_per_scan: tuple[int, ...]
    grid: CylindricalGrid

    @property
    def batch_size(self) -> int:
        return len(self.num_points_per_scan)

    @property
    def num_voxels(self) -> int:
        return self.coords_V4.shape[0]

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
        )


def voxelise(scans: Sequence[torch.Tensor], grid: CylindricalGrid) -> VoxelBatch:
    """A VoxelBatch of `scans`, B float32 tensors (P_b, 4): x, y, z in metres, intensity in 0..1; all finite.

    Scans may be empty. The voxels are sorted by scan, rho, phi, z.
    """
    points_P4 = torch.cat(tuple(scans)) if len(scans) != 1 else scans[0]
    num_points = tuple(len(scan) for scan in scans)
    scan_of_point_P = torch.repeat_interleave(
        torch.arange(len(scans), device=points_P4.device), torch.tensor(num_points, device=points_P4.device)
    )
    cylindrical_P3 = grid.cylindrical(points_P4)
    if cells.is_usable_for(points_P4) and cells.fits(grid.shape):  # with the same result, to the bit
        bounds = grid.minimum, grid.maximum, grid.cell_size
        parts = cells.voxelise(points_P4, cylindrical_P3, scan_of_point_P, bounds, grid.shape, len(scans))
        return VoxelBatch(*parts, num_points, grid)
    indices_P3 = grid.indices(cylindrical_P3)
    keys_P = _keys(scan_of_point_P, indices_P3, grid.shape)
    sorted_keys_P, points_by_voxel_P = torch.sort(keys_P, stable=True)
    keys_V, voxel_of_sorted_P, num_points_V = torch.unique_consecutive(
        sorted_keys_P, return_inverse=True, return_counts=True
    )
    point_to_voxel_P = torch.empty_like(points_by_voxel_P)
    point_to_voxel_P[points_by_voxel_P] = voxel_of_sorted_P
    return VoxelBatch(
        point_features_PF=point_features(points_P4, cylindrical_P3, indices_P3, grid),
        coords_V4=_coords(keys_V, grid.shape),
        point_to_voxel_P=point_to_voxel_P,
        num_points_V=num_points_V,
        num_points_per_scan=num_points,
        grid=grid,
    )


def _keys(scan_P: torch.Tensor, indices_P3: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """One integer for each cell, int64 (P,), in the order of scan, rho, phi, z."""
    keys_P = scan_P
    for axis, size in enumerate(shape):
        keys_P = keys_P * size + indices_P3[:, axis]
    return keys_P


def _coords(keys_V: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """(scan, rho, phi, z) of `_keys`, int64 (V, 4)."""
    columns = []
    for size in reversed(shape):
        columns.append(keys_V % size)
        keys_V = torch.div(keys_V, size, rounding_mode="floor")
    return torch.stack((keys_V, *reversed(columns)), dim=1)
