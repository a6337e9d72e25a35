"""What to time: every combination of networks, scans, backends, precisions and thread counts."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from pvd_core.borders.errors import UserError
from pvd_core.runtime.precision import resolve_precision
from pvd_core.sparse.backends import load_backend


@dataclass(frozen=True)
class Plan:
    """Settings that cannot work raise UserError at once, before anything is timed."""

    networks: Mapping[str, nn.Module]
    scans: Mapping[str, np.ndarray]  # float32 (N, 4) each: x, y, z in metres, intensity in 0..1
    device: torch.device
    backends: tuple[str, ...] = ("reference",)
    precisions: tuple[str, ...] = ("fp32",)
    threads: tuple[int, ...] = (0,)  # 0 leaves it to torch
    runs: int = 100  # samples of each measurement, after warm-up

    def __post_init__(self):
        object.__setattr__(self, "precisions", tuple(resolve_precision(each, self.device) for each in self.precisions))
        for name in ("backends", "precisions", "threads"):
            object.__setattr__(self, name, tuple(dict.fromkeys(getattr(self, name))))
        for name in ("networks", "scans", "backends", "precisions", "threads"):
            if not getattr(self, name):
                raise UserError(f"nothing to time: {name} is empty; name one or more")
        for backend in self.backends:
            load_backend(backend)

    def engines(self):
        """(backend, precision, threads) of each row for a network and a scan."""
        return itertools.product(self.backends, self.precisions, self.threads)
