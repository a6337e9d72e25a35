"""Which sites of two sets lie in the same cells."""

import torch

from pvd_core.sparse.sites import Sites


def matching_rows(sites_a: Sites, sites_b: Sites, shift_B3: torch.Tensor | None = None) -> torch.Tensor:
    """For each site of `sites_a` the row of the site of `sites_b` in the same scan and cell, int64 (A,); -1 where there
    is none.

    `shift_B3`: int64 (B, 3), what is added to the indices of `sites_a` in each scan to get those of `sites_b`, for
    grids that count their cells from each scan's lowest; None: nothing. For sites of a coarser level too it is in cells
    of the finest one, and a whole multiple of what a coarser cell spans.
    """
    coords_A4 = sites_a.coords_V4
    if shift_B3 is not None and bool(shift_B3.any()):
        shift_B3 = shift_B3.div(shift_B3.new_tensor(sites_a.scale), rounding_mode="floor")
        coords_A4 = torch.cat((coords_A4[:, :1], coords_A4[:, 1:] + shift_B3[coords_A4[:, 0]]), dim=1)
    return sites_b.find(coords_A4)
