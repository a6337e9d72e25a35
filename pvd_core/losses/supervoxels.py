"""Supervoxels: the grid cut into boxes, and which of them a training step looks at (PVD, difficulty-aware sampling).

V voxels, B scans, S supervoxels of all scans (scan after scan, boxes row-major), K supervoxels drawn.
"""

import math
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class SupervoxelPartition:
    """Boxes of `size` (rho, phi, z) voxels on a CylindricalGrid; those at the far borders may be smaller."""

    size: tuple[int, int, int] = (120, 60, 8)

    def shape(self, grid):
        return tuple(math.ceil(cells / step) for cells, step in zip(grid.shape, self.size, strict=True))

    def numbers(self, coords_V4, grid):
        """Supervoxel of each voxel, int64 (V,); `coords_V4` int64: scan, rho, phi, z."""
        numbers_V = coords_V4[:, 0]
        for axis, (step, count) in enumerate(zip(self.size, self.shape(grid), strict=True)):
            numbers_V = numbers_V * count + torch.div(coords_V4[:, axis + 1], step, rounding_mode="floor")
        return numbers_V

    def relative_distances(self, grid, batch_size, device="cpu"):
        """d_i / R, float32 (S,): distance of a supervoxel's outer arc from the sensor, over the largest one."""
        rings, sectors, layers = self.shape(grid)
        last_cells = torch.clamp(torch.arange(1, rings + 1) * self.size[0], max=grid.shape[0])
        outer_m = grid.rho_range[0] + last_cells * grid.cell_size[0]
        relative = (outer_m / outer_m[-1]).float().to(device)
        return relative.repeat_interleave(sectors * layers).repeat(batch_size)


def class_factor(num_minority_S, alpha=4.0, beta=-2.0):
    """f_class = alpha * exp(beta * N_minor) + 1, float32 (S,)."""
    return alpha * torch.exp(beta * num_minority_S.float()) + 1


SAMPLERS = ("difficulty", "class", "distance", "random")


def sampling_weights(sampler, num_voxels_S, class_factor_S, relative_distance_S):
    """Weights W_i up to a common factor, float32 (S,); 0 for a supervoxel without voxels.

    "difficulty": (1 / f_class) * (d_i / R); "class" and "distance": one of the two factors; "random": all alike.
    """
    weights_S = torch.ones_like(relative_distance_S)
    if sampler in ("difficulty", "class"):
        weights_S = weights_S / class_factor_S
    if sampler in ("difficulty", "distance"):
        weights_S = weights_S * relative_distance_S
    return weights_S * (num_voxels_S > 0)


def draw_supervoxels(weights_S, batch_size, num_drawn, generator, with_replacement=False):
    """Numbers of the supervoxels drawn from each scan, int64 (K,): `num_drawn` a scan, or as many as have voxels.

    `generator` is a CPU generator, so that the same supervoxels are drawn on every device.
    """
    drawn = []
    for scan, weights in enumerate(weights_S.cpu().view(batch_size, -1)):
        num_occupied = int((weights > 0).sum())
        count = num_drawn if with_replacement and num_occupied else min(num_drawn, num_occupied)
        if count:
            numbers = torch.multinomial(weights, count, with_replacement, generator=generator)
            drawn.append(numbers + scan * len(weights))
    drawn_K = torch.cat(drawn) if drawn else torch.empty(0, dtype=torch.int64)
    return drawn_K.to(weights_S.device)


def choose_rows(supervoxel_V, drawn_K, is_minority_V, num_rows, generator):
    """Rows of each drawn supervoxel, int64 (K, num_rows), -1 for rows that it lacks.

    Where a supervoxel holds more, surplus rows are left out at random, first those of majority classes.
    `supervoxel_V` int64 (V,): the supervoxel of each point or voxel; `is_minority_V` bool (V,).
    """
    chosen_KN = torch.full((len(drawn_K), num_rows), -1, dtype=torch.int64, device=supervoxel_V.device)
    for place, number in enumerate(drawn_K.tolist()):
        rows = (supervoxel_V == number).nonzero().squeeze(1)
        # A random number in 0..1, plus 1 for majority classes: they come last.
        rank = torch.rand(len(rows), generator=generator).to(rows.device) + (~is_minority_V[rows]).float()
        kept = rows[torch.argsort(rank)[:num_rows]]
        chosen_KN[place, : len(kept)] = kept
    return chosen_KN
