"""Supervised segmentation losses: cross-entropy and Lovasz-softmax (Berman et al. 2018, algorithm 1).

With several ranks the losses are those of the rows of all ranks, the same on each.

V voxels or points, C class scores, S classes that occur among the labels.
"""

import torch
import torch.nn.functional as F

from pvd_core.losses.zero import zero_of
from pvd_core.runtime.precision import widened
from pvd_core.runtime.ranks import rows_of_all_ranks, sum_over_ranks


def cross_entropy(
    logits_VC: torch.Tensor, labels_V: torch.Tensor, class_weights_C: torch.Tensor | None = None
) -> torch.Tensor:
    """Scalar, float32 or wider: mean cross-entropy over the rows whose label is not 0; 0 if there is none.

    `labels_V` int64 in 0..C-1. With `class_weights_C` (float) it is the weighted mean sum(w_y * loss) / sum(w_y).
    """
    is_counted_V = labels_V != 0
    weights_V = is_counted_V if class_weights_C is None else class_weights_C[labels_V] * is_counted_V
    if is_counted_V.any():
        loss = F.cross_entropy(widened(logits_VC), labels_V, class_weights_C, ignore_index=0, reduction="sum")
    else:
        loss = zero_of(logits_VC)
    total_weight = widened(sum_over_ranks(weights_V.sum()))
    return sum_over_ranks(loss) / total_weight.clamp(min=torch.finfo(torch.float32).tiny)


def lovasz_softmax(probabilities_VC: torch.Tensor, labels_V: torch.Tensor) -> torch.Tensor:
    """Scalar, float32 or wider: Lovasz extension of the Jaccard loss, mean over the classes that occur; 0 if none does.

    `probabilities_VC` float, softmax over all C channels; `labels_V` int64. Rows with label 0 do not count.
    The rows of all scans of the batch are treated as those of one scan.
    """
    is_counted_V = labels_V != 0
    labels_V = rows_of_all_ranks(labels_V[is_counted_V])
    probabilities_VC = rows_of_all_ranks(widened(probabilities_VC[is_counted_V]))
    if len(labels_V) == 0:
        return zero_of(probabilities_VC)
    present_S = torch.unique(labels_V)
    # Transposed, because sorting contiguous rows is several times faster than sorting columns.
    probabilities_SV = probabilities_VC.T[present_S]
    is_class_SV = labels_V[None, :] == present_S[:, None]
    errors_SV = torch.where(is_class_SV, 1 - probabilities_SV, probabilities_SV)
    sorted_errors_SV, order_SV = torch.sort(errors_SV, dim=1, descending=True)
    steps_SV = _jaccard_steps(torch.gather(is_class_SV, 1, order_SV)).to(errors_SV.dtype)
    return (sorted_errors_SV * steps_SV).sum(dim=1).mean()


def _jaccard_steps(is_class_SV: torch.Tensor) -> torch.Tensor:
    """float64 (S, V): how much the Jaccard loss grows when each row in turn, sorted by falling error, counts as wrong.

    float64, because successive losses differ by about 1/V, which float32 cannot resolve for large V.
    """
    num_misses_SV = torch.cumsum(is_class_SV, dim=1, dtype=torch.float64)
    num_rows_V = torch.arange(1, is_class_SV.shape[1] + 1, device=is_class_SV.device, dtype=torch.float64)
    num_of_class_S1 = num_misses_SV[:, -1:]
    intersections_SV = num_of_class_S1 - num_misses_SV
    unions_SV = num_of_class_S1 + num_rows_V - num_misses_SV
    losses_SV = 1 - intersections_SV / unions_SV
    return torch.diff(losses_SV, dim=1, prepend=torch.zeros_like(num_of_class_S1))
