"""Supervoxels: boxes of voxels, and which of them a training step compares (PVD's difficulty-aware sampling).

V points or voxels, S supervoxels of all scans (scan by scan, row-major over rho, phi, z), K drawn supervoxels.
"""

import math
from dataclasses import dataclass
from typing import cast

import torch

from pvd_core.voxels import CylindricalGrid, VoxelBatch, Voxeliser

SAMPLERS = ("difficulty", "class", "distance", "random")


@dataclass(frozen=True)
class SupervoxelPartition:
    """Cuts the `supervoxel_grid` of a batch into boxes of `size` cells along (rho, phi, z); the last ones of an axis
    may be smaller."""

    size: tuple[int, int, int] = (120, 60, 8)

    def shape(self, grid: CylindricalGrid) -> tuple[int, int, int]:
        """Number of supervoxels along (rho, phi, z)."""
        rho, phi, z = (math.ceil(cells / step) for cells, step in zip(grid.shape, self.size, strict=True))
        return rho, phi, z

    def numbers(self, batch: VoxelBatch) -> torch.Tensor:
        """Number of the supervoxel that the centre of each voxel lies in, int64 (V,)."""
        grid, numbers_V = supervoxel_grid(batch.grid), batch.coords_V4[:, 0]
        if grid == batch.grid:
            indices_V3 = batch.coords_V4[:, 1:]
        else:
            indices_V3 = grid.indices(grid.cylindrical(batch.grid.centres(batch)))
        for axis, (step, count) in enumerate(zip(self.size, self.shape(grid), strict=True)):
            numbers_V = numbers_V * count + torch.div(indices_V3[:, axis], step, rounding_mode="floor")
        return numbers_V

    def relative_distances(self, batch: VoxelBatch) -> torch.Tensor:
        """d_i / R, float32 (S,): distance of a supervoxel's outer arc from the sensor, divided by the largest one."""
        grid = supervoxel_grid(batch.grid)
        rings, sectors, layers = self.shape(grid)
        last_cells = torch.clamp(torch.arange(1, rings + 1) * self.size[0], max=grid.shape[0])
        outer_m = grid.rho_range[0] + last_cells * grid.cell_size[0]
        relative = (outer_m / outer_m[-1]).float().to(batch.coords_V4.device)
        return relative.repeat_interleave(sectors * layers).repeat(batch.batch_size)


def supervoxel_grid(grid: Voxeliser) -> CylindricalGrid:
    """The grid whose cells make up supervoxels: `grid` itself if it is cylindrical with rings of one width, otherwise
    the standard one. So sizes count cells of about the same extent, and distances are radii, on every grid."""
    is_uniform = isinstance(grid, CylindricalGrid) and grid.radial == "uniform"
    return cast(CylindricalGrid, grid) if is_uniform else CylindricalGrid()


def class_factor(num_minority_S: torch.Tensor, alpha: float = 4.0, beta: float = -2.0) -> torch.Tensor:
    """f_class = alpha * exp(beta * N_minor) + 1, float32 (S,). `num_minority_S`: voxels of minority classes."""
    return alpha * torch.exp(beta * num_minority_S.float()) + 1


def sampling_weights(
    sampler: str, num_voxels_S: torch.Tensor, class_factor_S: torch.Tensor, relative_distance_S: torch.Tensor
) -> torch.Tensor:
    """Weights W_i except for a common factor, float32 (S,); 0 for supervoxels without voxels.

    `sampler`: "difficulty" is (1 / f_class) * (d_i / R), "class" and "distance" are its first and second factor,
    "random" is 1.
    """
    weights_S = torch.ones_like(relative_distance_S)
    if sampler in ("difficulty", "class"):
        weights_S = weights_S / class_factor_S
    if sampler in ("difficulty", "distance"):
        weights_S = weights_S * relative_distance_S
    return weights_S * (num_voxels_S > 0)


def supervoxel_weights(
    partition: SupervoxelPartition,
    batch: VoxelBatch,
    supervoxel_V: torch.Tensor,
    is_minority_V: torch.Tensor,
    sampler: str = "difficulty",
    alpha: float = 4.0,
    beta: float = -2.0,
) -> torch.Tensor:
    """`sampling_weights` of the supervoxels of all scans of a batch, float32 (S,). `supervoxel_V` int64 (V,): the
    supervoxel of each voxel that counts; `is_minority_V` bool (V,)."""
    distance_S = partition.relative_distances(batch)
    num_voxels_S = torch.bincount(supervoxel_V, minlength=len(distance_S))
    num_minority_S = torch.bincount(supervoxel_V[is_minority_V], minlength=len(distance_S))
    return sampling_weights(sampler, num_voxels_S, class_factor(num_minority_S, alpha, beta), distance_S)


def draw_supervoxels(
    weights_S: torch.Tensor, num_drawn: int, generator: torch.Generator | None, with_replacement: bool = False
) -> torch.Tensor:
    """Numbers of the supervoxels drawn from one scan, int64 (K,). `weights_S` float (S,). Without replacement K is at
    most the number of supervoxels whose weight is not 0; if there is none, K is 0.

    Drawn on the CPU, where `generator` is, so that every device draws the same.
    """
    device, weights_S = weights_S.device, weights_S.cpu()
    num_occupied = int((weights_S > 0).sum())
    num_drawn = num_drawn if with_replacement and num_occupied else min(num_drawn, num_occupied)
    if num_drawn == 0:
        return torch.empty(0, dtype=torch.int64, device=device)
    return torch.multinomial(weights_S, num_drawn, with_replacement, generator=generator).to(device)


def choose_rows(
    supervoxel_V: torch.Tensor,
    drawn_K: torch.Tensor,
    is_minority_V: torch.Tensor,
    num_rows: int,
    generator: torch.Generator | None,
) -> torch.Tensor:
    """Numbers of the points or voxels in each drawn supervoxel, int64 (K, num_rows), padded with -1.

    If a supervoxel has more than `num_rows`, some are left out at random, first those of majority classes.
    `supervoxel_V` int64 (V,): the supervoxel of each point or voxel; `is_minority_V` bool (V,).
    """
    chosen_KN = torch.full((len(drawn_K), num_rows), -1, dtype=torch.int64, device=supervoxel_V.device)
    for position, number in enumerate(drawn_K.tolist()):
        rows = (supervoxel_V == number).nonzero().squeeze(1)
        # Random numbers in 0..1, plus 1 for majority classes, which so come last.
        rank = torch.rand(len(rows), generator=generator).to(rows.device) + (~is_minority_V[rows]).float()
        kept = rows[torch.argsort(rank)[:num_rows]]
        chosen_KN[position, : len(kept)] = kept
    return chosen_KN
