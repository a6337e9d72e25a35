"""One thing to measure, as a process of its own is told it."""

import contextlib
import dataclasses
import tempfile
from pathlib import Path

import numpy as np

from pvd_core.weights import save_weights


@dataclasses.dataclass(frozen=True)
class Job:
    """`names` identify the row: network, scan, backend, precision and what else the kind of measurement adds."""

    kind: str
    names: dict
    weights: str
    clouds: tuple[str, ...]  # .npy files
    device: str
    threads: int
    runs: int
    labels_file: str

    @property
    def title(self):
        threads = f"{self.threads} threads" if self.threads else "torch's threads"
        return ", ".join([*(str(name) for name in self.names.values()), threads])


class Workplace:
    """Files through which the measuring processes get networks and clouds; they last until `workplace` ends."""

    def __init__(self, folder, plan):
        self._folder, self._plan = folder, plan
        self._num_files = 0
        self._weights = {}
        for name, network in plan.networks.items():
            self._weights[name] = self._new_file(".safetensors")
            save_weights(self._weights[name], network)

    def keep_cloud(self, points):
        """Path of a file with `points`, for jobs."""
        path = self._new_file(".npy")
        np.save(path, points)
        return path

    def job(self, kind, network, backend, precision, threads, clouds, **names):
        return Job(
            kind=kind,
            names={"model": network, **names, "backend": backend, "precision": precision},
            weights=self._weights[network],
            clouds=tuple(clouds),
            device=str(self._plan.device),
            threads=threads,
            runs=self._plan.runs,
            labels_file=self._new_file(".labels.npy"),
        )

    def _new_file(self, suffix):
        self._num_files += 1
        return str(self._folder / f"{self._num_files}{suffix}")


@contextlib.contextmanager
def workplace(plan):
    with tempfile.TemporaryDirectory(prefix="pvd_bench_") as folder:
        yield Workplace(Path(folder), plan)
