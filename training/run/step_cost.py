"""What distillation costs: a supervised step, the teacher's forward pass and a distilling step, measured in turns."""

import contextlib
import dataclasses
import functools
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import cast

import torch
from torch import nn

from pvd_core.borders.errors import UserError
from training.data.batches import TrainingBatch
from training.distil.distillation import DistillationObjective
from training.run.config import TrainConfig, with_precision
from training.run.distributed import check_single_process, launched_fabric
from training.run.gradient_shares import gradient_shares
from training.run.progress import NoProgress
from training.run.run_data import check_data, open_data
from training.run.run_folder import RunFolder
from training.run.session import Session, build_session

_NUM_WARMUP_STEPS = 2


@dataclasses.dataclass(frozen=True)
class StepCost:
    """Medians; times are milliseconds."""

    plain_ms: float
    """From a batch to updated weights, with the supervised loss alone."""
    teacher_ms: float
    distilling_ms: float
    """From a batch to updated weights, with the teacher's forward pass."""
    shares: dict[str, float]
    """{term of the method: median share of the supervised gradient}, see `training.run.gradient_shares`."""

    @property
    def ratio(self) -> float:
        """Distilling step over supervised step plus teacher: 1 if the method itself costs nothing."""
        return self.distilling_ms / (self.plain_ms + self.teacher_ms)


def step_cost(config: TrainConfig, num_steps: int) -> StepCost:
    """Medians over `num_steps` batches, without the time for reading them. The teacher runs at every step, M2SKD does
    not, and no files are written. UserError for settings without distillation and in a run of several processes."""
    check_single_process("the measurement of a step")
    if config.distillation is None:
        raise UserError("there is no distillation to measure: the settings have no section 'distillation'")
    distillation = dataclasses.replace(config.distillation, cache=None, until_step=None)
    config = with_precision(dataclasses.replace(config, distillation=distillation, multi_to_single=None))
    with contextlib.closing(open_data(config, check_data(config, NoProgress()))) as data:
        fabric = launched_fabric(config)
        session = build_session(config, data, RunFolder("not written"), NoProgress(), fabric)
        distilling = cast(DistillationObjective, session.objective.module)
        plain = session.fabric.setup_module(cast(nn.Module, distilling.supervised))
        samples, shares = [], []
        for number in range(_NUM_WARMUP_STEPS + num_steps):
            batch = session.stream.batch(number)
            steps: dict[str, Callable[[], object]] = {
                "plain": functools.partial(_step, session, plain, batch),
                "teacher": functools.partial(_ask_teacher, session, distilling, batch),
                "distilling": functools.partial(_step, session, session.objective, batch),
            }
            samples.append({name: _milliseconds(step, session.fabric.device) for name, step in steps.items()})
            with gradient_shares(distilling, session.state.model) as of_batch:
                session.objective(batch)
            shares.append(of_batch)
    plain_ms, teacher_ms, distilling_ms = (
        statistics.median(sample[name] for sample in samples[_NUM_WARMUP_STEPS:])
        for name in ("plain", "teacher", "distilling")
    )
    return StepCost(plain_ms, teacher_ms, distilling_ms, _medians(shares[_NUM_WARMUP_STEPS:]))


def _medians(samples: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Of each name, over the samples that have it."""
    names = dict.fromkeys(name for sample in samples for name in sample)
    return {name: statistics.median(sample[name] for sample in samples if name in sample) for name in names}


def _milliseconds(function: Callable[[], object], device: torch.device) -> float:
    start = time.perf_counter()
    function()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - start) * 1e3


def _ask_teacher(session: Session, distilling: DistillationObjective, batch: TrainingBatch) -> None:
    with torch.no_grad(), session.fabric.autocast():
        distilling.teacher_output(batch)


def _step(session: Session, objective: nn.Module, batch: TrainingBatch) -> None:
    terms = objective(batch)
    for term in terms.values():
        term.item()
    session.fabric.backward(sum(terms.values()))
    optimizer = session.state.optimizer
    session.fabric.clip_gradients(objective, optimizer, max_norm=1e9, error_if_nonfinite=False)
    optimizer.step()
    optimizer.zero_grad()
