"""The nine input features of a point in Cylinder3D. P points."""

import torch

NUM_POINT_FEATURES = 9


def point_features(points_P4: torch.Tensor, cylindrical_P3: torch.Tensor, centres_P3: torch.Tensor) -> torch.Tensor:
    """float32 (P, 9): offsets of (rho, phi, z) from the centre of the point's cell, then rho, phi, z, x, y, intensity.

    `points_P4` float32: x, y, z, intensity; `cylindrical_P3` and `centres_P3` as CylindricalGrid's `cylindrical` and
    `cell_centres` return them. A point outside the grid belongs to a border cell but keeps its coordinates, so its
    offsets are large.
    """
    offsets_P3 = (cylindrical_P3.double() - centres_P3).float()
    return torch.cat((offsets_P3, cylindrical_P3, points_P4[:, :2], points_P4[:, 3:4]), dim=1)
