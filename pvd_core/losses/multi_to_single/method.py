"""All terms of M2SKD, each times its coefficient."""

import torch

from pvd_core.losses.multi_to_single.affinity import HardVoxels, class_affinity, instance_affinity
from pvd_core.losses.multi_to_single.config import MultiToSingleLossConfig
from pvd_core.losses.multi_to_single.passes import TwoPasses
from pvd_core.losses.multi_to_single.terms import changed_supervision, feature_difference, logit_difference


class MultiToSingle:
    """`method(passes)` returns {term: scalar loss} of TwoPasses. A term with coefficient 0 is left out."""

    def __init__(self, config: MultiToSingleLossConfig) -> None:
        self.config = config

    def __call__(self, passes: TwoPasses) -> dict[str, torch.Tensor]:
        """{term: scalar loss}, float32 or wider."""
        config, terms = self.config, {}
        single_VC, enriched_WC = passes.single.voxel_logits_VC, passes.enriched.voxel_logits_VC
        if config.changed:
            loss = changed_supervision(
                enriched_WC, passes.enriched_labels_W, passes.single_labels_V, passes.single_row_W
            )
            terms["m2s_changed"] = config.changed * loss
        if config.logit:
            loss = logit_difference(
                single_VC, enriched_WC, passes.enriched_row_V, config.logit_scale, config.logit_threshold
            )
            terms["m2s_logit"] = config.logit * loss
        if config.feature:
            assert passes.level is not None, "the term on features needs those of a level"
            level = passes.level
            loss = feature_difference(level.single_SD, level.enriched_TD, level.single_row_T, config.feature_threshold)
            terms["m2s_feature"] = config.feature * loss
        return {**terms, **self._affinities(passes)}

    def _affinities(self, passes: TwoPasses) -> dict[str, torch.Tensor]:
        config, terms = self.config, {}
        if not (config.class_affinity or config.instance_affinity):
            return {}
        voxels = HardVoxels.of(
            passes.single.voxel_logits_VC,
            passes.enriched.voxel_logits_VC,
            passes.enriched_row_V,
            passes.single_labels_V,
            passes.is_hard_C,
            passes.instance_V,
        )
        # Both terms compare the same voxels.
        rows_of_classes = voxels.drawn(config.num_affinity_rows, passes.generator)
        if config.class_affinity:
            terms["m2s_class_affinity"] = config.class_affinity * class_affinity(voxels, rows_of_classes)
        if config.instance_affinity:
            terms["m2s_instance_affinity"] = config.instance_affinity * instance_affinity(voxels, rows_of_classes)
        return terms
