"""Affinity distillation (PVD): student and teacher shall agree on which points, or which voxels, have similar features.

V points or voxels, K supervoxels, N rows of each, D channels, which may differ between student and teacher.
"""

import torch

from pvd_core.runtime.ranks import sum_over_ranks

AFFINITY_NORMS = ("padded", "valid")
_LEAST_NORM = 1e-8


def affinity_loss(
    student_VD: torch.Tensor, teacher_VD: torch.Tensor, rows_KN: torch.Tensor, norm: str = "padded"
) -> torch.Tensor:
    """Scalar: the mean over supervoxels of sum_ij (C_S - C_T)^2 / N^2, where C_S and C_T are the N x N matrices of
    cosine similarities between the rows of a supervoxel.

    `rows_KN` int64: the rows of each supervoxel, -1 for padding, which has similarity 0 to everything. `norm`: "padded"
    divides by N^2, "valid" by the squared number of rows without padding. Supervoxels of all ranks count.

    The N x N matrices are never built. With rows F of unit length C = F F^T, and
    |F_S F_S^T - F_T F_T^T|^2 = |F_S^T F_S|^2 - 2 |F_S^T F_T|^2 + |F_T^T F_T|^2, in which all products are D x D. That
    takes N * D^2 multiplications instead of N^2 * D. In float64, because the three terms nearly cancel.

    Memory: at most 8 K (N (2 D_S + D_T + 4) + D_S^2 + D_S D_T) bytes are kept for the backward pass, and no temporary
    tensor is larger than 8 K max(N, D) D bytes, D = max(D_S, D_T).
    """
    student_KND = unit_rows(student_VD, rows_KN)
    teacher_KND = unit_rows(teacher_VD, rows_KN)
    squared_K = (
        _squared_product(student_KND, student_KND)
        - 2 * _squared_product(student_KND, teacher_KND)
        + _squared_product(teacher_KND, teacher_KND)
    )
    num_rows_K = (rows_KN >= 0).sum(dim=1).clamp(min=1) if norm == "valid" else rows_KN.shape[1]
    num_supervoxels = sum_over_ranks(torch.tensor(len(rows_KN), device=rows_KN.device))
    loss = sum_over_ranks((squared_K / num_rows_K**2).sum()) / num_supervoxels.clamp(min=1)
    return loss.to(torch.promote_types(student_VD.dtype, torch.float32))


def affinity_matrix(features_VD: torch.Tensor, rows_N: torch.Tensor) -> torch.Tensor:
    """Cosine similarities between the rows `rows_N` (int64, -1 for padding), float64 (N, N). For pictures."""
    unit_ND = unit_rows(features_VD, rows_N)
    return unit_ND @ unit_ND.T


def unit_rows(features_VD: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """The chosen rows scaled to length 1, float64 (..., N, D); zeros where `rows` is -1."""
    gathered = features_VD[rows.clamp(min=0)].double()
    squared = gathered.square().sum(dim=-1, keepdim=True)
    # A row of zeros has no direction: it counts as padding, and gets no gradient.
    has_direction = (squared > _LEAST_NORM**2) & (rows >= 0).unsqueeze(-1)
    return torch.where(has_direction, gathered * torch.where(has_direction, squared, 1.0).rsqrt(), 0.0)


def _squared_product(first_KND: torch.Tensor, second_KNE: torch.Tensor) -> torch.Tensor:
    """Squared Frobenius norm of first^T second for each supervoxel, (K,)."""
    return (first_KND.transpose(1, 2) @ second_KNE).square().sum(dim=(1, 2))
