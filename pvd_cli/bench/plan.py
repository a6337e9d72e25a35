"""What to time: every combination of networks, scans and engines (backend, precision, threads, busy processes beside),
and a job of it."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pvd_core.borders.errors import UserError
from pvd_core.models import Network
from pvd_core.runtime.precision import PRECISIONS, resolve_precision
from pvd_core.sparse.backends import BACKENDS, load_backend
from pvd_core.sparse.backends.choose import backend_for

Row = dict[str, Any]  # of a table, as JSON has it
Progress = Callable[[int, int], object]  # samples done, all samples
Engine = tuple[str, str, int, int]  # backend, precision, threads, busy processes beside


@dataclass
class Plan:
    """Settings with unknown names, and those of which nothing runs here, raise UserError at once, before anything is
    timed."""

    networks: Mapping[str, Network]
    scans: Mapping[str, np.ndarray]  # float32 (N, 4) each: x, y, z in metres, intensity in 0..1
    device: torch.device
    backends: tuple[str, ...] = ("auto",)  # auto is what labels clouds on this device
    precisions: tuple[str, ...] = ("fp32",)
    threads: tuple[int, ...] = (0,)  # 0 leaves it to torch
    beside: tuple[int, ...] = (0,)  # busy processes while samples are taken
    runs: int = 100  # samples of each measurement, after warm-up

    def __post_init__(self) -> None:
        auto = backend_for("auto", self.device).__name__.rpartition(".")[2]
        self.backends = _each_once(auto if each == "auto" else each for each in self.backends)
        self.threads, self.beside = _each_once(self.threads), _each_once(self.beside)
        for name in ("networks", "scans", "backends", "precisions", "threads", "beside"):
            if not getattr(self, name):
                raise UserError(f"nothing to time: {name} is empty; name one or more")
        for backend in self.backends:
            if backend not in BACKENDS:
                load_backend(backend)  # says which there are
        self.precisions = _each_once(
            each if each in PRECISIONS else resolve_precision(each, self.device) for each in self.precisions
        )
        reasons = [reason_against(*engine[:2], self.device) for engine in self.engines()]
        if all(reasons):
            raise UserError("; ".join(dict.fromkeys(filter(None, reasons))))

    def engines(self) -> Iterator[Engine]:
        """The engine of each row for a network and a scan."""
        return itertools.product(self.backends, self.precisions, self.threads, self.beside)


def _each_once(values: Any) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(values))


def reason_against(backend: str, precision: str, device: torch.device) -> str | None:
    """Why these do not run here, as far as that is known without trying; None if nothing is known against them."""
    try:
        load_backend(backend)
        resolve_precision(precision, device)
    except (UserError, ImportError, OSError) as error:  # a package may be there and its library not load
        return str(error).partition("\n")[0]
    return None


@dataclass(frozen=True)
class Job:
    """One row to measure, as it is sent to the process that measures it."""

    kind: str  # which measurement, a key of the worker's table of them
    names: dict[str, Any]  # what identifies the row: model, scan, backend, precision, beside and more for some kinds
    weights: str
    clouds: Sequence[np.ndarray]
    device: str
    threads: int
    runs: int
