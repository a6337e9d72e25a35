"""What a run is made of, put together from its config: data, network, optimizer, stream of batches."""

import dataclasses
import math

import torch
from lightning.fabric import Fabric

from pvd_core.borders.errors import UserError
from pvd_core.models import build_model
from pvd_core.runtime.memory import keep_freed_memory
from pvd_core.taxonomy import NUM_CLASSES
from pvd_core.weights import load_model, load_state
from training.data.batches import BatchStream, Share
from training.data.class_weights import class_weights, describe
from training.data.dataset import ScanFolder
from training.data.folder_stream import FolderStream
from training.data.simulated_stream import SimulatedStream
from training.distil.distillation import DistillationObjective, build_method, load_teacher
from training.distil.slicing import sliced_state
from training.distil.teacher_cache import TeacherCache
from training.run.config import TrainConfig
from training.run.objective import SegmentationObjective
from training.run.optimization import RunningMean, build_optimizer
from training.run.run_folder import RunFolder
from training.run.state import TrainingState


@dataclasses.dataclass(frozen=True)
class Data:
    """The scans of a run."""

    training: FolderStream | SimulatedStream
    validation: ScanFolder
    validation_indices: list

    def close(self):
        self.training.close()


@dataclasses.dataclass
class Session:
    config: TrainConfig
    data: Data
    run: RunFolder
    progress: object
    fabric: Fabric
    objective: torch.nn.Module
    state: TrainingState
    stream: BatchStream
    num_steps: int
    validation_s: float = 0.0

    @property
    def writes(self):
        """Whether this process is the one, of all ranks, that validates and writes files."""
        return self.fabric.is_global_zero


def open_data(config):
    """To be closed: processes may simulate."""
    validation = ScanFolder(config.dataset, config.validation.sequences)
    return Data(_training_scans(config), validation, validation.evenly_spaced(config.validation.max_scans))


def _training_scans(config):
    if config.data == "simulated":
        return SimulatedStream(config.stream, config.seed)
    folder = ScanFolder(config.dataset, config.sequences)
    indices = folder.evenly_spaced(config.max_scans)
    return FolderStream(folder, indices, config.seed, config.mixing.bank_scans, config.scan_versions)


def build_session(config, data, run, progress, fabric):
    keep_freed_memory()
    if config.num_threads:
        torch.set_num_threads(config.num_threads)
    torch.manual_seed(config.seed)
    model = build_model(config.model)
    _check_objective(config, model)
    if config.initial_weights is not None:
        initial, _ = load_model(config.initial_weights)
        state = sliced_state(initial, model) if config.initial_slice else initial.state_dict()
        load_state(model, state, config.initial_weights)
    method = None
    if config.distillation is not None:
        teacher = load_teacher(config.distillation.teacher, model, fabric.device)
        method = build_method(config.distillation, model, teacher)
    weights = None
    if config.loss.class_weights != "none":
        counts = data.training.class_counts()
        if not counts[1:].any():
            raise UserError(f"no labelled point in {data.training.describe()}: there is nothing to learn from")
        weights = class_weights(counts, config.loss.class_weights)
        progress.note(f"class weights ({config.loss.class_weights}): {describe(weights)}")
    objective = SegmentationObjective(model, config.loss, weights)
    if method is not None:
        cache = _teacher_cache(config, method, data, fabric, progress)
        objective = DistillationObjective(objective, method, teacher, config.seed, cache)
    optimizer = build_optimizer(objective.parameters(), config.optimizer)
    objective, optimizer = fabric.setup(objective, optimizer)
    if method is not None:
        # Fabric gives its number format to what is trained alone.
        teacher.to(next(model.parameters()).dtype)
    running_mean = RunningMean(model, config.ema_decay) if config.ema_decay else None
    state = TrainingState(model, optimizer, running_mean, data.training.fingerprint(), method)
    share = Share(fabric.global_rank, fabric.world_size)
    stream = BatchStream(
        data.training,
        config.batch_size,
        config.seed,
        config.augmentation,
        config.mixing,
        model.grid,
        fabric.device,
        share,
    )
    return Session(config, data, run, progress, fabric, objective, state, stream, _num_steps(config, data))


def _check_objective(config, model):
    if model.config.num_classes != NUM_CLASSES:
        raise UserError(
            f"model.num_classes is {model.config.num_classes}: the labels have {NUM_CLASSES}, with the ignored one"
        )
    if model.predicts_from_points and not config.loss.point_cross_entropy:
        raise UserError(
            "loss.point_cross_entropy is 0, but the network labels points by its refinement, which only that term "
            "trains; give it a positive value or set model.refinement to R1 or none"
        )


def _teacher_cache(config, method, data, fabric, progress):
    if config.distillation.cache is None:
        return None
    return TeacherCache(
        config.distillation.cache,
        config.distillation.teacher,
        method.config.teacher_fields,
        config.precision,
        fabric.device,
        data.training.num_scans() * config.scan_versions,
        progress.note,
    )


def _num_steps(config, data):
    if config.epochs is None or data.training.num_scans() is None:
        return config.max_steps
    scans_per_step = config.batch_size * config.accumulate
    num_steps = max(1, math.ceil(config.epochs * data.training.num_scans() / scans_per_step))
    return num_steps if config.max_steps is None else min(num_steps, config.max_steps)
