"""Which backend `auto` stands for on a device."""

import logging
from types import ModuleType

import torch

from pvd_core.borders.errors import UserError
from pvd_core.native import library
from pvd_core.sparse.backends import load_backend, reference
from pvd_core.sparse.backends.triton_table import is_tuned

_log = logging.getLogger(__name__)


def backend_for(name: str, device: torch.device) -> ModuleType:
    """The backend's module. `auto` is native on a CPU where it is built, triton on a GPU whose kind it has been
    measured on, reference everywhere else. UserError as from `load_backend`."""
    if name != "auto":
        return load_backend(name)
    if device.type == "cpu" and library.status()[0]:
        return load_backend("native")
    if device.type != "cuda" or not _is_measured_on(device):
        return reference
    try:
        return load_backend("triton")
    except UserError as error:
        _log.warning("%s. Until then the network runs on backend 'reference', which is slower", error)
        return reference


def _is_measured_on(device: torch.device) -> bool:
    """`make gpu` measures and tunes the kernels; without that they are not the default."""
    is_measured = is_tuned(".".join(map(str, torch.cuda.get_device_capability(device))))
    if not is_measured:
        _log.warning(
            "backend 'triton' has not been measured on this GPU, so 'reference' is used; `make gpu` measures it"
        )
    return is_measured
