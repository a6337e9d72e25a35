"""The nine input features of a point (Cylinder3D; P points)."""

import torch

NUM_POINT_FEATURES = 9


def point_features(points_P4, cylindrical_P3, indices_P3, grid):
    """float32 (P, 9): offsets of (rho, phi, z) from the centre of the point's cell, then rho, phi, z, x, y, intensity.

    Offsets of points outside the grid are large: their cell is a border cell, their coordinates are not clamped.
    """
    offsets_P3 = (cylindrical_P3.double() - grid.centres(indices_P3)).float()
    return torch.cat((offsets_P3, cylindrical_P3, points_P4[:, :2], points_P4[:, 3:4]), dim=1)
