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


def autocast(*tensors):
    """The tensors, all on one device, in autocast's dtype where that is on."""
    device_type = tensors[0].device.type
    if not torch.is_autocast_enabled(device_type):
        return tensors
    return tuple(tensor.to(torch.get_autocast_dtype(device_type)) for tensor in tensors)
