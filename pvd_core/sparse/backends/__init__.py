"""Backends: who computes a convolution given its kernel map. The reference is the oracle of every other one.

A backend is a module with `convolve(features_VI, weight_KIO, kernel_map) -> features (V_out, O)`, differentiable in
features and weight.
"""

import importlib

from pvd_core.errors import UserError

BACKENDS = ("reference",)


def load_backend(name):
    """The backend's module; UserError for a name that this version does not have."""
    if name not in BACKENDS:
        raise UserError(f"backend {name!r}: this version has {', '.join(BACKENDS)}")
    return importlib.import_module(f"pvd_core.sparse.backends.{name}")
