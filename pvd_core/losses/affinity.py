"""Affinity distillation (PVD): the student repeats which points, or voxels, the teacher takes for alike.

K supervoxels, N rows of each, D channels (student's and teacher's may differ).
"""

import torch

from pvd_core.runtime.ranks import sum_over_ranks

AFFINITY_NORMS = ("padded", "valid")
_LEAST_NORM = 1e-8


def affinity_loss(student_VD, teacher_VD, rows_KN, norm="padded"):
    """Scalar: mean over supervoxels of the mean squared difference of the cosine-similarity matrices of rows
    `rows_KN` (int64, -1 for a zero row): sum_ij (C_S - C_T)^2 / N^2.

    The mean is over the supervoxels of all ranks. `norm` "valid" divides by the squared number of real rows instead of
    N^2. Zero rows are similar to nothing.

    The N x N matrices are never built: with rows of unit length, C = F F^T and
    |F_S F_S^T - F_T F_T^T|^2 = |F_S^T F_S|^2 - 2 |F_S^T F_T|^2 + |F_T^T F_T|^2, matrices of D x D. It takes N * D^2
    products in place of N^2 * D. In float64: the three terms nearly cancel.

    Memory: at most 8 K (N (2 D_S + D_T + 4) + D_S^2 + D_S D_T) bytes are kept for the backward pass, and no tensor
    on the way is larger than 8 K max(N, D) D bytes, D = max(D_S, D_T).
    """
    student_KND = _unit_rows(student_VD, rows_KN)
    teacher_KND = _unit_rows(teacher_VD, rows_KN)
    squared_K = (
        _squared_product(student_KND, student_KND)
        - 2 * _squared_product(student_KND, teacher_KND)
        + _squared_product(teacher_KND, teacher_KND)
    )
    num_rows_K = (rows_KN >= 0).sum(dim=1).clamp(min=1) if norm == "valid" else rows_KN.shape[1]
    num_supervoxels = sum_over_ranks(torch.tensor(len(rows_KN), device=rows_KN.device))
    loss = sum_over_ranks((squared_K / num_rows_K**2).sum()) / num_supervoxels.clamp(min=1)
    return loss.to(torch.promote_types(student_VD.dtype, torch.float32))


def affinity_matrix(features_VD, rows_N):
    """Cosine similarities of the rows `rows_N` (int64, -1 for a zero row), float64 (N, N): for pictures and tests."""
    unit_ND = _unit_rows(features_VD, rows_N)
    return unit_ND @ unit_ND.T


def _unit_rows(features_VD, rows):
    """Rows of length 1, float64 (..., N, D); zeros where `rows` is -1."""
    gathered = features_VD[rows.clamp(min=0)].double()
    length = torch.linalg.vector_norm(gathered, dim=-1, keepdim=True).clamp(min=_LEAST_NORM)
    return torch.where((rows >= 0).unsqueeze(-1), gathered / length, 0.0)


def _squared_product(first_KND, second_KNE):
    """|first^T second|^2 of each supervoxel, (K,)."""
    return (first_KND.transpose(1, 2) @ second_KNE).square().sum(dim=(1, 2))
