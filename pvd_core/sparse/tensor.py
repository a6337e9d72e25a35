"""Features on sites. V sites, C channels."""

from dataclasses import dataclass

import torch
from torch.nn import Parameter

from pvd_core.sparse.derived import derived, forget
from pvd_core.sparse.sites import Sites


@dataclass(frozen=True)
class SparseTensor:
    features_VC: torch.Tensor
    sites: Sites

    def with_features(self, features_VC):
        return SparseTensor(features_VC, self.sites)


def autocast(*tensors):
    """The tensors, all on one device, in autocast's dtype where that is on."""
    if torch.is_grad_enabled():
        for tensor in tensors:
            forget(tensor)
    device_type = tensors[0].device.type
    if not torch.is_autocast_enabled(device_type):
        return tensors
    dtype = torch.get_autocast_dtype(device_type)
    return tuple(_cast(tensor, dtype) for tensor in tensors)


def _cast(tensor, dtype):
    """Casts of weights are kept from one inference to the next, unless autocast is told to keep none."""
    is_kept = isinstance(tensor, Parameter) and tensor.dtype != dtype and not torch.is_grad_enabled()
    if is_kept and torch.is_autocast_cache_enabled():
        return derived(tensor, dtype, lambda weight: weight.to(dtype))
    return tensor.to(dtype)
