"""Features on sites. V sites, C channels."""

from dataclasses import dataclass

import torch
from torch.nn import Parameter

from pvd_core.sparse.derived import derived, forget
from pvd_core.sparse.interfaces import AnySites


@dataclass(frozen=True)
class SparseTensor:
    features_VC: torch.Tensor
    sites: AnySites

    def with_features(self, features_VC: torch.Tensor) -> "SparseTensor":
        """Other features on the same sites."""
        return SparseTensor(features_VC, self.sites)


def autocast(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The tensors, all on one device; cast to autocast's dtype if autocast is on."""
    if torch.is_grad_enabled():
        for tensor in tensors:
            forget(tensor)
    device_type = tensors[0].device.type
    if not torch.is_autocast_enabled(device_type):
        return tensors
    dtype = torch.get_autocast_dtype(device_type)
    return tuple(_cast(tensor, dtype) for tensor in tensors)


def _cast(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Casts of weights are kept from one inference to the next, unless autocast's cache is off."""
    is_kept = isinstance(tensor, Parameter) and tensor.dtype != dtype and not torch.is_grad_enabled()
    if is_kept and torch.is_autocast_cache_enabled():
        return derived(tensor, dtype, lambda weight: weight.to(dtype))
    return tensor.to(dtype)
