"""Backends: who computes a convolution given its kernel map. The reference is the oracle of every other one.

A backend is a module with `convolve(features_VI, weight_KIO, kernel_map) -> features (V_out, O)`, differentiable in
features and weight.
"""

import importlib

from pvd_core.errors import UserError

BACKENDS = ("reference", "triton")


def load_backend(name):
    """The backend's module; UserError for a name that this version does not have, or whose package is missing."""
    if name not in BACKENDS:
        raise UserError(f"backend {name!r}: this version has {', '.join(BACKENDS)}")
    try:
        return importlib.import_module(f"pvd_core.sparse.backends.{name}")
    except ModuleNotFoundError as error:
        raise UserError(
            f"backend {name!r}: the package {error.name} is not installed; pip install 'pvd_ros[gpu]', "
            "or use backend 'reference'"
        ) from error
