"""Features on sites. V sites, C channels."""

from dataclasses import dataclass

import torch

from pvd_core.sparse.sites import Sites


@dataclass(frozen=True)
class SparseTensor:
    features_VC: torch.Tensor
    sites: Sites

    def with_features(self, features_VC):
        return SparseTensor(features_VC, self.sites)
