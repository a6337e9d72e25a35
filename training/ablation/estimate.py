"""How long the runs of a grid will take, from a few measured steps of each kind."""

import dataclasses
import json
import math
import statistics
import tempfile
import time
from pathlib import Path

import torch

from pvd_core.models import build_model
from pvd_core.weights import save_weights
from training.ablation.finished import is_finished
from training.data.dataset import ScanFolder
from training.run.loop import train
from training.run.progress import NoProgress
from training.run.run_folder import RunFolder

_NUM_STEPS, _NUM_WARMUP_STEPS, _NUM_SCANS = 6, 2, 3


@dataclasses.dataclass(frozen=True)
class Estimate:
    name: str
    num_steps: int
    step_s: float
    validation_s: float
    is_finished: bool

    @property
    def minutes(self):
        """That are left; 0 for a finished run."""
        return 0.0 if self.is_finished else (self.num_steps * self.step_s + self.validation_s) / 60


def estimate(plan, dataset, note=print):
    """An Estimate for each run of a Plan. Networks have random weights; nothing is kept."""
    measured, estimates = {}, []
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


def _kind(config):
    """Runs of one kind take the same time a step, nearly: coefficients cost nothing."""
    method = config.distillation.method if config.distillation is not None else None
    sizes = (config.batch_size, config.accumulate, config.precision, config.device, config.num_threads)
    return json.dumps([config.model, method, *sizes])


def _measure(config, plan, folder):
    """(seconds a step, seconds a validated scan)."""
    watch, folder = _StopWatch(), Path(folder)
    changed = {"initial_weights": None, "initial_slice": False, "epochs": None, "max_steps": _NUM_STEPS}
    if config.distillation is not None:
        teacher = _teacher(config, plan, folder.with_suffix(".safetensors"))
        changed["distillation"] = dataclasses.replace(config.distillation, teacher=str(teacher), cache=None)
    validation = dataclasses.replace(config.validation, every_steps=0, max_scans=_NUM_SCANS)
    summary = train(dataclasses.replace(config, validation=validation, **changed), folder, progress=watch)
    if summary["stopped"] == "interrupted":
        raise KeyboardInterrupt
    return statistics.median(watch.steps_s[_NUM_WARMUP_STEPS:]), watch.scan_s()


def _teacher(config, plan, path):
    """The teacher's weights file, or one with random weights for a teacher that is still to be trained."""
    to_be_trained = {str(RunFolder(run.folder).last_weights): run for run in plan.runs if run.weights is None}
    run = to_be_trained.get(config.distillation.teacher)
    if run is None:
        return config.distillation.teacher
    torch.manual_seed(0)
    save_weights(path, build_model(run.config.model))
    return path


class _StopWatch(NoProgress):
    def __init__(self):
        self.steps_s, self._scans_at = [], []

    def step(self, step, record, step_s):
        self.steps_s.append(step_s)

    def validating(self, num_done, num_all):
        self._scans_at.append(time.perf_counter())

    def scan_s(self):
        """Between the first and the last validated scan; 0 for a single one."""
        return (self._scans_at[-1] - self._scans_at[0]) / max(1, len(self._scans_at) - 1)


def _num_steps(config):
    if config.epochs is None or config.data == "simulated":
        return config.max_steps
    num_scans = len(ScanFolder(config.dataset, config.sequences).evenly_spaced(config.max_scans))
    num_steps = max(1, math.ceil(config.epochs * num_scans / (config.batch_size * config.accumulate)))
    return min(num_steps, config.max_steps or num_steps)


def _num_validated(config, num_steps):
    """Scans of all the validations of a run."""
    validation = config.validation
    num_scans = len(ScanFolder(config.dataset, validation.sequences).evenly_spaced(validation.max_scans))
    num_before_end = max(0, num_steps - 1) // validation.every_steps if validation.every_steps else 0
    return num_scans * (1 + num_before_end)
