"""Which backend a device gets when nobody names one."""

import logging

from pvd_core.errors import UserError
from pvd_core.sparse.backends import load_backend, reference

_log = logging.getLogger(__name__)


def backend_for(name, device):
    """The backend's module for a torch.device. `auto`: triton on a GPU, where that package is there, else reference.
    UserError as from `load_backend` for a name that cannot be had."""
    if name != "auto":
        return load_backend(name)
    if device.type != "cuda":
        return reference
    try:
        return load_backend("triton")
    except UserError as error:
        _log.warning("%s. Until then the network runs on backend 'reference', which is slower", error)
        return reference
