"""What distilling costs: a plain step, the teacher's forward pass and a distilling step, measured in turns."""

import contextlib
import dataclasses
import statistics

import torch

from pvd_cli.bench.spans import SpanClock
from pvd_core.borders.errors import UserError
from training.run.config import with_precision
from training.run.distributed import check_single_process, launched_fabric
from training.run.progress import NoProgress
from training.run.run_folder import RunFolder
from training.run.session import build_session, open_data

_NUM_WARMUP_STEPS = 2


@dataclasses.dataclass(frozen=True)
class StepCost:
    """Medians in milliseconds."""

    plain_ms: float
    """Batch to updated weights, on the labels alone."""
    teacher_ms: float
    distilling_ms: float
    """Batch to updated weights, the teacher's forward pass included."""

    @property
    def ratio(self):
        """1 where the method itself costs nothing."""
        return self.distilling_ms / (self.plain_ms + self.teacher_ms)


def step_cost(config, num_steps):
    """StepCost of the distillation of a TrainConfig over `num_steps` batches, without their reading; the teacher is
    asked at every step, and nothing is kept."""
    check_single_process("the measurement of a step")
    if config.distillation is None:
        raise UserError("there is no distillation to measure: the settings have no section 'distillation'")
    distillation = dataclasses.replace(config.distillation, cache=None)
    config = with_precision(dataclasses.replace(config, distillation=distillation))
    with contextlib.closing(open_data(config)) as data:
        fabric = launched_fabric(config)
        session = build_session(config, data, RunFolder("not written"), NoProgress(), fabric)
        distilling = session.objective.module
        plain = session.fabric.setup_module(distilling.supervised)
        clock, samples = SpanClock(session.fabric.device), []
        for number in range(_NUM_WARMUP_STEPS + num_steps):
            batch = session.stream.batch(number)
            clock.start("plain")
            _step(session, plain, batch)
            clock.stop()
            clock.start("teacher")
            with torch.no_grad(), session.fabric.autocast():
                distilling.teacher_output(batch)
            clock.stop()
            clock.start("distilling")
            _step(session, session.objective, batch)
            clock.stop()
            samples.append(clock.own_times_ms())
    return StepCost(
        *(
            statistics.median(sample[name] for sample in samples[_NUM_WARMUP_STEPS:])
            for name in ("plain", "teacher", "distilling")
        )
    )


def _step(session, objective, batch):
    terms = objective(batch)
    for term in terms.values():
        term.item()
    session.fabric.backward(sum(terms.values()))
    optimizer = session.state.optimizer
    session.fabric.clip_gradients(objective, optimizer, max_norm=1e9, error_if_nonfinite=False)
    optimizer.step()
    optimizer.zero_grad()
