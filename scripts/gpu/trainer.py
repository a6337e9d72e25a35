"""Training in autocast on a backend of choice, for as long as there is time.

`pvd train` has neither fp16 nor a choice of the backend; they come there when these figures say that they should.
"""

import time
from collections.abc import Generator, Iterator
from pathlib import Path

import torch

from pvd_core.borders.errors import UserError
from pvd_core.models import Network
from pvd_core.runtime.precision import computing_in
from pvd_core.sparse.backends import load_backend
from pvd_core.taxonomy import SEMANTICKITTI
from training.data.augment import AugmentationConfig
from training.data.batches import BatchStream, TrainingBatch
from training.data.dataset import ScanFolder
from training.data.folder_stream import FolderStream
from training.data.mix import MixingConfig
from training.data.prefetch import prefetched
from training.distil.config import DistillationConfig
from training.distil.distillation import DistillationObjective, build_method
from training.run.config import LossConfig, OptimizerConfig, ScheduleConfig
from training.run.objective import SegmentationObjective
from training.run.optimization import build_optimizer, learning_rate

_AUGMENTATION = AugmentationConfig(rotate_degrees=45, flip=True, scale=(0.95, 1.05), translate_metres=0.1)
# The schedule runs over the time of a training, as if it had so many steps.
_SCHEDULE_STEPS = 1000
# Compiling and filling the queue of batches.
_STEPS_BEFORE_TIMING = 5
_MOST_BATCHES = 1_000_000


def folders_in(root: Path) -> tuple[ScanFolder, ScanFolder]:
    """(training scans, validation scans): sequence 08 validates, or the last one if it is not there. With one sequence
    it is both. UserError where nothing is labelled."""
    labelled = sorted(path.parent.name for path in root.glob("sequences/*/labels") if any(path.glob("*.label")))
    if not labelled:
        raise UserError(f"{root}: no labelled scans, so nothing to train on")
    valid = "08" if "08" in labelled else labelled[-1]
    return ScanFolder(root, [name for name in labelled if name != valid] or [valid]), ScanFolder(root, [valid])


def batches_of(
    folder: ScanFolder, model: Network, device: str, batch_size: int, num_threads: int
) -> Generator[TrainingBatch, None, None]:
    scans = FolderStream(folder, folder.evenly_spaced(), seed=0)
    stream = BatchStream(scans, batch_size, 0, _AUGMENTATION, MixingConfig(), model.grid, device)
    return prefetched(stream.batch, range(_MOST_BATCHES), num_threads)


def train_for(
    until: float,
    model: Network,
    teacher: Network | None,
    batches: Iterator[TrainingBatch],
    precision: str,
    backend: str,
    most_steps: int = _MOST_BATCHES,
) -> dict[str, float | int | None]:
    """Trains `model` in place until the time.monotonic() `until`, with PVD where there is a teacher. Does at least one
    step. Steps a second count after the first few."""
    device_type = next(model.parameters()).device.type
    start = time.monotonic()
    objective = _objective(model.train(), teacher, backend)
    settings = OptimizerConfig(learning_rate=1e-3)
    optimizer = build_optimizer(objective.parameters(), settings)
    # bf16 and fp32 have float32's range; their losses need no scaling.
    scaler = torch.amp.GradScaler(device_type, enabled=precision == "fp16")
    schedule = ScheduleConfig(warmup_steps=50)
    ends: list[float] = []
    losses: list[float] = []
    while len(ends) < most_steps and (not ends or ends[-1] < until):
        spent = (time.monotonic() - start) / max(until - start, 1.0)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(int(spent * _SCHEDULE_STEPS), _SCHEDULE_STEPS, settings.learning_rate, schedule)
        batch = next(batches)
        with computing_in(precision, device_type):
            loss = torch.stack(list(objective(batch).values())).sum()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(objective.parameters(), settings.gradient_clip)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        losses.append(loss.item())  # waits for the device
        ends.append(time.monotonic())
    first = max(min(_STEPS_BEFORE_TIMING, len(ends) - 2), 0)
    last = losses[-20:]
    return {
        "steps": len(ends),
        "steps_per_s": (len(ends) - 1 - first) / (ends[-1] - ends[first]) if len(ends) > 1 else None,
        "first_step_s": ends[0] - start,
        "loss_at_first": losses[0],
        "loss_at_last": sum(last) / len(last),
    }


def _objective(model: Network, teacher: Network | None, backend: str) -> torch.nn.Module:
    for network in (model, teacher):
        if network is not None:
            network.backend = load_backend(backend)
    supervised = SegmentationObjective(model, LossConfig())
    if teacher is None:
        return supervised
    method = build_method(DistillationConfig("", "pvd"), model, teacher)
    return DistillationObjective(supervised, method, teacher.requires_grad_(False).eval(), SEMANTICKITTI, seed=0)
