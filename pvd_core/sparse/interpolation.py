"""From voxels to points that lie between them, and back: trilinear interpolation and means, as SPVCNN uses them.

V sites, N points, C channels.
"""

from dataclasses import dataclass

import torch
from torch.nn import functional

from pvd_core.runtime.precision import widened
from pvd_core.sparse.interfaces import AnySites

_ROWS_LEFT_OUT = 1024


@dataclass(frozen=True)
class Interpolation:
    """For each point eight sites and their weights."""

    rows_N8: torch.Tensor  # int64, 0 where the weight is 0
    weights_N8: torch.Tensor  # float32

    @property
    def cells_N(self) -> torch.Tensor:
        """The site in whose cell each point lies, int64 (N,), -1 where there is none."""
        # The first of the eight: its weight is more than 0, as no point lies a whole cell above its floor.
        return torch.where(self.weights_N8[:, 0] > 0, self.rows_N8[:, 0], -1)

    def apply(self, features_VC: torch.Tensor) -> torch.Tensor:
        """Weighted sums of the sites' features, (N, C) of their dtype, differentiable in the features."""
        if len(features_VC) == 0:  # no site has a weight, and none can be read
            return features_VC.new_zeros(len(self.rows_N8), features_VC.shape[1])
        wide_VC = widened(features_VC)
        weights_N8 = self.weights_N8.to(wide_VC.dtype)
        sums_NC = functional.embedding_bag(self.rows_N8, wide_VC, mode="sum", per_sample_weights=weights_N8)
        return sums_NC.to(features_VC.dtype)


def trilinear(sites: AnySites, positions_N4: torch.Tensor) -> Interpolation:
    """The Interpolation at `positions_N4`, float: scan, then three indices in cells of `sites`, from the 8 cells at
    their floor and floor + 1. Cells without a site get weight 0, the weights of the others are scaled to a sum of 1;
    where there is none all are 0."""
    lowest_N3 = positions_N4[:, 1:].floor()
    above_N3 = positions_N4[:, 1:] - lowest_N3
    # Computed on the device, because copying a list there would wait for it.
    number_8 = torch.arange(8, device=positions_N4.device)
    steps_83 = torch.stack((number_8 >> 2, number_8 >> 1, number_8), dim=1) & 1
    cells_N84 = torch.cat((positions_N4[:, :1], lowest_N3), dim=1).long()[:, None] + functional.pad(steps_83, (1, 0))
    rows_N8 = sites.find(cells_N84.view(-1, 4)).view(-1, 8)
    shares_N83 = torch.where(steps_83 > 0, above_N3[:, None], 1 - above_N3[:, None])
    weights_N8 = shares_N83[..., 0] * shares_N83[..., 1] * shares_N83[..., 2]
    weights_N8 = torch.where(rows_N8 >= 0, weights_N8, 0.0)
    weights_N8 = weights_N8 / (weights_N8.sum(dim=1, keepdim=True) + 1e-8)
    return Interpolation(torch.where(weights_N8 > 0, rows_N8, 0), weights_N8.float())


def mean_of_rows(features_NC: torch.Tensor, rows_N: torch.Tensor, num_rows: int) -> torch.Tensor:
    """The mean of the features of all points with the same row, (num_rows, C), 0 where there is none; points with row
    -1 are left out. Differentiable in the features; sums repeat to the bit."""
    # Points that are left out come last, as those of more rows: of several, because a GPU adds a row's points one after
    # the other.
    places_N = torch.arange(len(rows_N), device=rows_N.device)
    sorted_N, order_N = torch.where(rows_N >= 0, rows_N, num_rows + places_N % _ROWS_LEFT_OUT).sort(stable=True)
    first_R = torch.searchsorted(sorted_N, torch.arange(num_rows + _ROWS_LEFT_OUT, device=rows_N.device))
    wide_NC = widened(features_NC)
    return functional.embedding_bag(order_N, wide_NC, first_R, mode="mean")[:num_rows].to(features_NC.dtype)
