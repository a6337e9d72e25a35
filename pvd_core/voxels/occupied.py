"""The occupied cells of a batch of scans, and the one that each point lies in. P points, V occupied cells."""

import math
from collections.abc import Sequence

import torch

from pvd_core.native import cells, library


def scan_of_points(scans: Sequence[torch.Tensor]) -> torch.Tensor:
    """Number of the scan of each point, int64 (P,), of the points of all scans one after the other."""
    device = scans[0].device
    sizes = torch.tensor([len(scan) for scan in scans], device=device)
    return torch.repeat_interleave(torch.arange(len(scans), device=device), sizes)


def occupied_cells(
    scan_P: torch.Tensor, indices_P3: torch.Tensor, shape: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(coords int64 (V, 4): scan and three indices, sorted and distinct; row of each point's cell in them, int64 (P,);
    number of points in each cell, int64 (V,)). `indices_P3` int64 inside `shape`, whose cells in all scans together
    have numbers that fit int64."""
    if scan_P.device.type == "cpu" and library.status()[0]:  # a GPU would have to be waited for to count the cells
        num_cells = (int(scan_P.max()) + 1) * math.prod(shape) if len(scan_P) else 0
        if num_cells.bit_length() + len(scan_P).bit_length() <= 64:
            return cells.occupied(scan_P, indices_P3, shape, num_cells.bit_length())
    keys_P = scan_P
    for axis, size in enumerate(shape):
        keys_P = keys_P * size + indices_P3[:, axis]
    sorted_keys_P, points_by_cell_P = torch.sort(keys_P, stable=True)
    _, cell_of_sorted_P, num_points_V = torch.unique_consecutive(sorted_keys_P, return_inverse=True, return_counts=True)
    point_to_cell_P = torch.empty_like(points_by_cell_P).scatter_(0, points_by_cell_P, cell_of_sorted_P)
    first_V = points_by_cell_P.index_select(0, num_points_V.cumsum(0) - num_points_V)
    coords_P4 = torch.cat((scan_P[:, None], indices_P3), dim=1)
    return coords_P4.index_select(0, first_V), point_to_cell_P, num_points_V
