"""Affinity distillation (PVD): student and teacher shall agree on which points, or which voxels, have similar features.

V points or voxels, K supervoxels, N rows of each, D channels, which may differ between student and teacher.
"""

import torch

from pvd_core.borders.errors import UserError
from pvd_core.runtime.ranks import sum_over_ranks

AFFINITY_NORMS = ("padded", "valid", "rows")
"""What a matrix of differences of N rows, of which R are real and not padding, counts for. padded: the sum of its
squares over N^2; valid: over R^2; rows: the mean over the real rows of the row's Euclidean norm."""

_LEAST_NORM = 1e-8
# Smaller ones are rounding. The root of 0 has an endless gradient.
_LEAST_SQUARED_ROW = 1e-10


def check_affinity_norm(method: str, norm: str, choices: tuple[str, ...] = AFFINITY_NORMS) -> None:
    """UserError for an `affinity_norm` of a method's settings that is none of `choices`."""
    if norm not in choices:
        raise UserError(f"{method}: affinity_norm is {norm!r}: expected one of {', '.join(choices)}")


def affinity_loss(
    student_VD: torch.Tensor, teacher_VD: torch.Tensor, rows_KN: torch.Tensor, norm: str = "padded"
) -> torch.Tensor:
    """Scalar: the mean over supervoxels of what C_S - C_T counts for, by one of AFFINITY_NORMS, where C_S and C_T are
    the N x N matrices of cosine similarities between the rows of a supervoxel.

    `rows_KN` int64: the rows of each supervoxel, -1 for padding, which has similarity 0 to everything. Supervoxels of
    all ranks count.

    The N x N matrices are never built. With rows F of unit length C = F F^T, and
    |F_S F_S^T - F_T F_T^T|^2 = |F_S^T F_S|^2 - 2 |F_S^T F_T|^2 + |F_T^T F_T|^2, in which all products are D x D. That
    takes N * D^2 multiplications instead of N^2 * D. In float64, because the three terms nearly cancel.

    Memory, but for norm "rows": at most 8 K (N (2 D_S + D_T + 4) + D_S^2 + D_S D_T) bytes are kept for the backward
    pass, and no temporary tensor is larger than 8 K max(N, D) D bytes, D = max(D_S, D_T).
    """
    student_KND = unit_rows(student_VD, rows_KN)
    teacher_KND = unit_rows(teacher_VD, rows_KN)
    if norm == "rows":
        counts_K = _mean_row_norms(student_KND, teacher_KND, rows_KN >= 0)
    else:
        squared_K = (
            _squared_product(student_KND, student_KND)
            - 2 * _squared_product(student_KND, teacher_KND)
            + _squared_product(teacher_KND, teacher_KND)
        )
        num_rows_K = (rows_KN >= 0).sum(dim=1).clamp(min=1) if norm == "valid" else rows_KN.shape[1]
        counts_K = squared_K / num_rows_K**2
    num_supervoxels = sum_over_ranks(torch.tensor(len(rows_KN), device=rows_KN.device))
    loss = sum_over_ranks(counts_K.sum()) / num_supervoxels.clamp(min=1)
    return loss.to(torch.promote_types(student_VD.dtype, torch.float32))


def matrix_distance(difference_NN: torch.Tensor, norm: str, num_padded: int) -> torch.Tensor:
    """Scalar: what a matrix of differences, whose rows are all real, counts for by one of AFFINITY_NORMS. `num_padded`:
    the number of rows with padding."""
    if norm == "rows":
        return _root(difference_NN.square().sum(dim=1)).mean()
    return difference_NN.square().sum() / (len(difference_NN) if norm == "valid" else num_padded) ** 2


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


def _mean_row_norms(student_KND: torch.Tensor, teacher_KND: torch.Tensor, is_real_KN: torch.Tensor) -> torch.Tensor:
    """For each supervoxel the mean over its real rows of the norm of a row of C_S - C_T, (K,)."""
    squared_KN = (
        _products_of_rows(student_KND, student_KND)
        - 2 * _products_of_rows(student_KND, teacher_KND)
        + _products_of_rows(teacher_KND, teacher_KND)
    )
    return (_root(squared_KN) * is_real_KN).sum(dim=1) / is_real_KN.sum(dim=1).clamp(min=1)


def _products_of_rows(first_KND: torch.Tensor, second_KNE: torch.Tensor) -> torch.Tensor:
    """The product of row i of first first^T with row i of second second^T, (K, N)."""
    return ((first_KND @ (first_KND.transpose(1, 2) @ second_KNE)) * second_KNE).sum(dim=2)


def _root(squared: torch.Tensor) -> torch.Tensor:
    """The root, with a gradient of 0 where there is nothing but rounding."""
    is_more = squared > _LEAST_SQUARED_ROW
    return torch.where(is_more, torch.where(is_more, squared, 1.0).sqrt(), 0.0)
