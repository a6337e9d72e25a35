"""Backends compute convolutions from kernel maps. Tests compare each of them with the reference.

A backend is a module with `convolve(features_VI, weight_KIO, kernel_map) -> features (V_out, O)`, differentiable in
features and weight. It may also have:

- `convolve_fused`, which applies an Epilogue (pvd_core/sparse/epilogue.py) to the sums.
- `run_layers`, which computes chains of linear layers for inference (pvd_core/models/fused_linear.py).
- `is_usable_for(tensor) -> bool`, if it fuses for some dtypes and devices only.
- `site_index(coords_V4, shape, batch_size)`, what Sites look up sites in instead of pvd_core/sparse/site_index.py's.
- `blocks(coords_V4, stride, shape)`, a faster `Blocks.of` (pvd_core/sparse/blocks.py).
- `build_map(sites, kernel, stride) -> (coords_V4, shape, map)` of the output sites, if it needs kernel maps of its own
  kind. Sites then calls this, and keeps the coarse sites in their order.
- `known_fault(device) -> reason or None`, if its results may be wrong.
- `ROUNDS_WEIGHTS`, if it takes float32 weights beside features of another dtype and rounds them itself.
- `WAITS_FOR_DEVICE = False`, if inference can be captured in a CUDA graph.
"""

import importlib
from types import ModuleType

import torch

from pvd_core.borders.errors import UserError

BACKENDS = ("reference", "native", "spconv", "spconv-triton", "triton")

# How to install the package that a backend needs.
_REMEDIES = {
    "spconv": "pip install 'pvd_ros[gpu]' (spconv-cu120, for Python 3.12 and newer spconv-cu126), or without a GPU "
    "pip install 'pvd_ros[spconv]'",
    "spconv-triton": "pip install 'pvd_ros[gpu]'",
    "triton": "pip install 'pvd_ros[gpu]'",
}


def offers(backend: object, function: str, tensor: torch.Tensor) -> bool:
    """Whether `backend` has that function of its own for operands of this dtype and device."""
    is_usable_for = getattr(backend, "is_usable_for", None)
    return hasattr(backend, function) and (is_usable_for is None or is_usable_for(tensor))


def load_backend(name: str) -> ModuleType:
    """The backend's module. UserError for an unknown name, and where what the backend needs is not there."""
    if name not in BACKENDS:
        raise UserError(f"backend {name!r}: this version has {', '.join(BACKENDS)}")
    try:
        return importlib.import_module(f"pvd_core.sparse.backends.{name.replace('-', '_')}")
    except ModuleNotFoundError as error:
        raise UserError(
            f"backend {name!r}: the package {error.name} is not installed; {_REMEDIES[name]}, "
            "or use backend 'reference'"
        ) from error
