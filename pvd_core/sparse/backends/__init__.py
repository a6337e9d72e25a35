"""Backends: who computes a convolution given its kernel map. The reference is the oracle of every other one.

A backend is a module with `convolve(features_VI, weight_KIO, kernel_map) -> features (V_out, O)`, differentiable in
features and weight. One that wants kernel maps of its own also has `submanifold_map(sites, kernel) -> map` and
`downsampled(sites, stride) -> (coords_V4, shape, map)` of the coarse sites; Sites then asks it for them, and the coarse
sites stand in its order. Its maps have `num_pairs_K` and `transposed`, as KernelMap.
"""

import importlib

from pvd_core.borders.errors import UserError

BACKENDS = ("reference", "spconv", "triton")

# What brings the package that a backend needs.
_REMEDIES = {
    "spconv": "pip install 'pvd_ros[gpu]' (spconv-cu120, for Python 3.12 and newer spconv-cu126), or without a GPU "
    "pip install 'pvd_ros[spconv]'",
    "triton": "pip install 'pvd_ros[gpu]'",
}


def load_backend(name):
    """The backend's module; UserError for a name that this version does not have, or whose package is missing."""
    if name not in BACKENDS:
        raise UserError(f"backend {name!r}: this version has {', '.join(BACKENDS)}")
    try:
        return importlib.import_module(f"pvd_core.sparse.backends.{name}")
    except ModuleNotFoundError as error:
        raise UserError(
            f"backend {name!r}: the package {error.name} is not installed; {_REMEDIES[name]}, "
            "or use backend 'reference'"
        ) from error
