"""Supervised segmentation losses: cross-entropy and Lovasz-softmax (Berman et al. 2018, algorithm 1).

With several ranks each loss is that of the rows of all of them, the same on every rank.

V voxels or points, C classes, S the classes present among the labels.
"""

import torch
import torch.nn.functional as F

from pvd_core.runtime.precision import widened
from pvd_core.runtime.ranks import rows_of_all_ranks, sum_over_ranks


def cross_entropy(logits, labels, class_weights=None, ignore=0):
    """Scalar float32: mean cross-entropy over the rows whose label is not `ignore`; 0 when there is none.

    `logits` float (V, C); `labels` int64 (V,) in 0..C-1; `class_weights` float (C,) or None. With weights the mean is
    sum(w_y * loss) / sum(w_y).
    """
    is_counted = labels != ignore
    weights = is_counted if class_weights is None else class_weights[labels] * is_counted
    if is_counted.any():
        loss = F.cross_entropy(widened(logits), labels, weight=class_weights, ignore_index=ignore, reduction="sum")
    else:
        loss = _zero_of(logits)
    total = widened(sum_over_ranks(weights.sum()))
    return sum_over_ranks(loss) / total.clamp(min=torch.finfo(torch.float32).tiny)


def lovasz_softmax(probabilities_VC, labels_V, ignore=0):
    """Scalar float32: Lovasz extension of the Jaccard loss, mean over the classes present; 0 when there is none.

    `probabilities_VC` float (V, C), softmax over all C channels; `labels_V` int64 (V,). Rows labelled `ignore` do not
    count. All rows are taken together, whichever scan of the batch they come from.
    """
    is_counted_V = labels_V != ignore
    labels_V = rows_of_all_ranks(labels_V[is_counted_V])
    probabilities_VC = rows_of_all_ranks(widened(probabilities_VC[is_counted_V]))
    if len(labels_V) == 0:
        return _zero_of(probabilities_VC)
    present_S = torch.unique(labels_V)
    # Classes as rows: sorting contiguous rows is several times faster than sorting columns.
    probabilities_SV = probabilities_VC.T[present_S]
    is_class_SV = labels_V[None, :] == present_S[:, None]
    errors_SV = torch.where(is_class_SV, 1 - probabilities_SV, probabilities_SV)
    sorted_errors_SV, order_SV = torch.sort(errors_SV, dim=1, descending=True)
    steps_SV = _jaccard_steps(torch.gather(is_class_SV, 1, order_SV)).to(errors_SV.dtype)
    return (sorted_errors_SV * steps_SV).sum(dim=1).mean()


def _jaccard_steps(is_class_SV):
    """float64 (S, V): growth of the Jaccard loss as each row, in order of falling error, is counted as wrong.

    float64, for neighbours differ by 1/V, which float32 loses for large V.
    """
    num_misses_SV = torch.cumsum(is_class_SV, dim=1, dtype=torch.float64)
    num_rows_V = torch.arange(1, is_class_SV.shape[1] + 1, device=is_class_SV.device, dtype=torch.float64)
    num_of_class_S1 = num_misses_SV[:, -1:]
    intersections_SV = num_of_class_S1 - num_misses_SV
    unions_SV = num_of_class_S1 + num_rows_V - num_misses_SV
    losses_SV = 1 - intersections_SV / unions_SV
    return torch.diff(losses_SV, dim=1, prepend=torch.zeros_like(num_of_class_S1))


def _zero_of(values):
    """0 with a gradient of zeros, also where `values` holds inf or NaN."""
    return widened(values.reshape(-1)[:0]).sum()
