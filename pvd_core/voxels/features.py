"""The nine input features of a point in Cylinder3D. P points."""

import torch

from pvd_core.voxels.grid import CylindricalGrid

NUM_POINT_FEATURES = 9


def point_features(
    points_P4: torch.Tensor, cylindrical_P3: torch.Tensor, indices_P3: torch.Tensor, grid: CylindricalGrid
) -> torch.Tensor:
    """float32 (P, 9): offsets of (rho, phi, z) from the centre of the point's cell, then rho, phi, z, x, y, intensity.

    `points_P4` float32: x, y, z, intensity; `cylindrical_P3` and `indices_P3` as the grid's methods of those names
    return them. A point outside the grid belongs to a border cell but keeps its coordinates, so its offsets are large.
    """
    offsets_P3 = (cylindrical_P3.double() - grid.centres(indices_P3)).float()
    return torch.cat((offsets_P3, cylindrical_P3, points_P4[:, :2], points_P4[:, 3:4]), dim=1)
