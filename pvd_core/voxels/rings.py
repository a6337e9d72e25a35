"""Rings whose widths grow in arithmetic progression, as in NUC-Net (arXiv 2505.24634): narrow where points are dense.

Ring n is `first + n * growth` metres wide. P points, R rings.
"""

import torch


def ring_growth(num_rings: int, low_m: float, high_m: float, first_m: float) -> float:
    """By how many metres each ring must be wider than the one before it so that they fill the range. ValueError where
    they would have to shrink."""
    mean_m = (high_m - low_m) / num_rings
    if first_m > mean_m:
        raise ValueError(
            f"grid first_cell is {first_m:g} m, but {num_rings} rings from {low_m:g} to {high_m:g} m are "
            f"{mean_m:.4g} m wide on average: expected at most that"
        )
    return (mean_m - first_m) * 2 / (num_rings - 1)


def ring_borders(
    num_rings: int, low_m: float, high_m: float, first_m: float, device: torch.device | str = "cpu"
) -> torch.Tensor:
    """The radii that bound the rings, float64 (R + 1,)."""
    growth_m = ring_growth(num_rings, low_m, high_m, first_m)
    ring_R = torch.arange(num_rings + 1, dtype=torch.float64, device=device)
    borders_R = low_m + ring_R * first_m + ring_R * (ring_R - 1) / 2 * growth_m
    borders_R[-1] = high_m
    return borders_R


def ring_numbers(rho_P: torch.Tensor, borders_R: torch.Tensor) -> torch.Tensor:
    """Number of the ring of each radius, int64 (P,); a ring includes its inner border. Radii outside belong to the
    first or the last ring. Both arguments float64."""
    # Two times as fast as the root of the quadratic equation, which must be corrected beside borders.
    return torch.bucketize(rho_P.contiguous(), borders_R[1:-1], right=True)


def ring_centres(numbers_P: torch.Tensor, borders_R: torch.Tensor) -> torch.Tensor:
    """Radius half-way between the borders of each ring, float64 (P,)."""
    return ((borders_R[:-1] + borders_R[1:]) / 2)[numbers_P]
