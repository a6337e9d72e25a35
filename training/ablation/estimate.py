"""How long the runs of a grid will take, estimated from a few measured steps of each kind of run."""

import dataclasses
import json
import signal
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from pvd_core.models import build_model
from pvd_core.weights import save_weights
from pvd_core.weights.facts import TAXONOMY_KEY, past_scans_facts
from training.ablation.finished import is_finished
from training.ablation.plan import Plan
from training.data.dataset import ScanFolder
from training.run.config import TrainConfig
from training.run.loop import train
from training.run.progress import NoProgress
from training.run.run_folder import RunFolder

_NUM_STEPS, _NUM_WARMUP_STEPS, _NUM_SCANS = 6, 2, 3


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Of one run."""

    name: str
    num_steps: int
    step_s: float
    validation_s: float
    """Of all validations together."""
    is_finished: bool

    @property
    def minutes(self) -> float:
        """Minutes that the run will take; 0 for a finished one."""
        return 0.0 if self.is_finished else (self.num_steps * self.step_s + self.validation_s) / 60


def estimate(plan: Plan, dataset: str | Path, note: Callable[[str], object] = print) -> list[Estimate]:
    """An Estimate for each run of a Plan. Trains networks with random weights for a few steps, in a temporary folder.

    `note(text)` shows a line to the user. KeyboardInterrupt where a training is interrupted.
    """
    measured: dict[str, tuple[float, float]] = {}
    estimates = []
    with tempfile.TemporaryDirectory(prefix="pvd_ablate_") as folder:
        for run in plan.runs:
            config = dataclasses.replace(run.config, dataset=str(dataset))
            kind = _kind(config)
            if kind not in measured and not is_finished(run.folder):
                note(f"measuring {run.name}")
                measured[kind] = _measure(config, plan, Path(folder, str(len(measured))))
            step_s, scan_s = measured.get(kind, (0.0, 0.0))
            num_steps = 0 if run.weights is not None else _num_steps(config)
            validation_s = scan_s * _num_validated(config, num_steps)
            estimates.append(Estimate(run.name, num_steps, step_s, validation_s, is_finished(run.folder)))
    return estimates


def _kind(config: TrainConfig) -> str:
    """Runs of the same kind take nearly the same time for a step; coefficients of losses do not matter."""
    method = config.distillation.method if config.distillation is not None else None
    sizes = (config.batch_size, config.accumulate, config.precision, config.device, config.num_threads)
    return json.dumps([config.model, method, config.multi_to_single is not None, config.scans.past, *sizes])


def _measure(config: TrainConfig, plan: Plan, folder: Path) -> tuple[float, float]:
    """(seconds a step, seconds a validated scan)."""
    watch = _StopWatch()
    changed: dict[str, Any] = {"initial_weights": None, "initial_slice": False, "epochs": None, "max_steps": _NUM_STEPS}
    if config.distillation is not None:
        teacher = _teacher(config.distillation.teacher, plan, folder.with_suffix(".safetensors"))
        changed["distillation"] = dataclasses.replace(config.distillation, teacher=teacher, cache=None)
    validation = dataclasses.replace(config.validation, every_steps=0, max_scans=_NUM_SCANS)
    summary = train(dataclasses.replace(config, validation=validation, **changed), folder, progress=watch)
    assert summary is not None  # only a rank that is not the first gives none; grids run in single processes
    if summary["stopped"] == "interrupted":
        signal.raise_signal(signal.Signals[summary["signal"]])  # with nothing to keep it acts as usual
    return statistics.median(watch.steps_s[_NUM_WARMUP_STEPS:]), watch.scan_s()


def _teacher(teacher: str, plan: Plan, path: Path) -> str:
    """The weights file `teacher`, or, if the plan has yet to train it, a file `path` with random weights."""
    to_be_trained = {str(RunFolder(run.folder).last_weights): run for run in plan.runs if run.weights is None}
    run = to_be_trained.get(teacher)
    if run is None:
        return teacher
    torch.manual_seed(0)
    about = {TAXONOMY_KEY: run.config.taxonomy, **past_scans_facts(run.config.scans)}
    save_weights(path, build_model(run.config.network), about)
    return str(path)


class _StopWatch(NoProgress):
    def __init__(self) -> None:
        self.steps_s: list[float] = []
        self._scans_at: list[float] = []

    def step(self, step: int, record: Mapping[str, float], step_s: float) -> None:
        self.steps_s.append(step_s)

    def validating(self, num_done: int, num_all: int) -> None:
        self._scans_at.append(time.perf_counter())

    def scan_s(self) -> float:
        """Mean time from one validated scan to the next; 0 for a single one."""
        return (self._scans_at[-1] - self._scans_at[0]) / max(1, len(self._scans_at) - 1)


def _num_steps(config: TrainConfig) -> int:
    if config.data == "simulated":
        return config.num_steps(None)
    return config.num_steps(len(ScanFolder(config.dataset, config.sequences).evenly_spaced(config.max_scans)))


def _num_validated(config: TrainConfig, num_steps: int) -> int:
    """Number of scans over all validations of a run."""
    validation = config.validation
    num_scans = len(ScanFolder(config.dataset, validation.sequences).evenly_spaced(validation.max_scans))
    num_before_end = max(0, num_steps - 1) // validation.every_steps if validation.every_steps else 0
    return num_scans * (1 + num_before_end)
