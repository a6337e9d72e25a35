"""Terms of M2SKD on single voxels: labels that the fusion changed, class probabilities, features.

V voxels of the single pass, W of the enriched one, S and T sites of each at another level, C class scores, D channels.
With several ranks the means are those over the rows of all ranks.
"""

import torch

from pvd_core.losses.multi_to_single.passes import at_rows
from pvd_core.losses.segmentation import cross_entropy
from pvd_core.runtime.precision import widened
from pvd_core.runtime.ranks import sum_over_ranks

_LEAST_PROBABILITY = 1e-6


def changed_supervision(
    enriched_logits_WC: torch.Tensor,
    enriched_labels_W: torch.Tensor,
    single_labels_V: torch.Tensor,
    single_row_W: torch.Tensor,
) -> torch.Tensor:
    """Scalar: mean cross-entropy of the enriched pass over the labelled voxels whose label is not that of the single
    scan, because it changed or because the voxel only appeared; 0 if there is none. Labels int64, 0 = ignored.

    The released code gives all others the label 255, which its cross-entropy does not ignore; here they are left out.
    """
    is_changed_W = enriched_labels_W != at_rows(single_labels_V, single_row_W)
    return cross_entropy(enriched_logits_WC, torch.where(is_changed_W, enriched_labels_W, 0))


def logit_difference(
    single_logits_VC: torch.Tensor,
    enriched_logits_WC: torch.Tensor,
    enriched_row_V: torch.Tensor,
    scale: float = 0.3,
    threshold: float = 0.01,
) -> torch.Tensor:
    """Scalar: e_v = mean over classes of p2 |log((p2 + 1e-6) / (p1 + 1e-6))|, mean over the voxels of the single pass
    with e_v > threshold; 0 if there is none. p1 and p2 are softmax(scale * logits) of the single and the enriched pass
    in the same voxel. Only the single pass gets a gradient. As the sign is lost inside, this is no KL divergence."""
    is_matched_V = enriched_row_V >= 0
    p1_VC = (scale * widened(single_logits_VC[is_matched_V])).softmax(dim=1)
    rows_V = enriched_row_V[is_matched_V]
    p2_VC = (scale * widened(enriched_logits_WC.detach()[rows_V])).softmax(dim=1)
    ratio_VC = (p2_VC + _LEAST_PROBABILITY) / (p1_VC + _LEAST_PROBABILITY)
    return _mean_above((p2_VC * ratio_VC.log().abs()).mean(dim=1), threshold)


def feature_difference(
    single_SD: torch.Tensor, enriched_TD: torch.Tensor, single_row_T: torch.Tensor, threshold: float = 1.0
) -> torch.Tensor:
    """Scalar: mean squared difference of the features of each site of the enriched pass, where the single pass counts
    as 0 if it has no site there; mean over the sites where it is > threshold, 0 if there is none. Only the single pass
    gets a gradient."""
    single_TD = at_rows(widened(single_SD), single_row_T)
    return _mean_above((single_TD - widened(enriched_TD.detach())).square().mean(dim=1), threshold)


def _mean_above(values_V: torch.Tensor, threshold: float) -> torch.Tensor:
    is_kept_V = values_V > threshold
    num_kept = sum_over_ranks(is_kept_V.sum()).clamp(min=1)
    return sum_over_ranks(values_V[is_kept_V].sum()) / num_kept
