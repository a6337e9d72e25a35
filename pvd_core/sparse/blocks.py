"""Coarse sites where the stride is the kernel: each fine site lies in the block of cells of one coarse site.

V fine sites, C coarse ones, K taps, N fine or coarse ones.
"""

import math
from dataclasses import dataclass

import torch

from pvd_core.sparse.cell_keys import cell_keys, cells_of_keys
from pvd_core.sparse.interfaces import Triple


@dataclass(frozen=True)
class Blocks:
    """The coarse sites, and for each fine site the coarse one that it belongs to and its place there."""

    coarse_C4: torch.Tensor  # int64, floor(coords / stride), sorted
    coarse_of_site_V: torch.Tensor  # int64
    tap_of_site_V: torch.Tensor  # int64, row-major
    num_taps: int

    @staticmethod
    def of(coords_V4: torch.Tensor, stride: Triple, shape: Triple) -> "Blocks":
        """`coords_V4` int64: distinct sites; `shape` is that of the coarse grid."""
        steps = torch.tensor((1, *stride), device=coords_V4.device)
        coords_V4, within_V4 = torch.div(coords_V4, steps, rounding_mode="floor"), coords_V4 % steps
        keys_C, coarse_of_site_V = torch.unique(cell_keys(coords_V4, shape), return_inverse=True)
        taps_V = cell_keys(within_V4, stride)
        return Blocks(cells_of_keys(keys_C, shape), coarse_of_site_V, taps_V, math.prod(stride))

    def tap_rows(self) -> torch.Tensor:
        """Tap rows (pvd_core/sparse/tap_rows.py) of one tap each of the map to the coarse sites, int32 (K, C)."""
        sites_V = torch.arange(len(self.tap_of_site_V), device=self.tap_of_site_V.device)
        return self._rows(self.tap_of_site_V, sites_V, self.coarse_of_site_V, len(self.coarse_C4))

    def tap_rows_back(self) -> torch.Tensor:
        """Tap rows of the transposed map, in reverse order of the taps, int32 (K, V)."""
        sites_V = torch.arange(len(self.tap_of_site_V), device=self.tap_of_site_V.device)
        return self._rows(self.num_taps - 1 - self.tap_of_site_V, self.coarse_of_site_V, sites_V, len(sites_V))

    def _rows(self, row_V: torch.Tensor, in_V: torch.Tensor, out_V: torch.Tensor, num_out: int) -> torch.Tensor:
        rows_KN = torch.zeros(self.num_taps, num_out, dtype=torch.int32, device=row_V.device)
        rows_KN.view(-1).scatter_(0, row_V * num_out + out_V, (in_V * 8 + 1).int())
        return rows_KN
