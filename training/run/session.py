"""Builds what a run consists of from its config: data, network, losses, optimizer, stream of batches."""

import dataclasses
from typing import Any

import torch
from lightning.fabric import Fabric
from lightning.fabric.wrappers import _FabricModule

from pvd_core.borders.errors import UserError
from pvd_core.borders.wording import counted
from pvd_core.models import Network, build_model
from pvd_core.runtime.memory import keep_freed_memory
from pvd_core.sparse.backends.choose import backend_for
from pvd_core.taxonomy import taxonomy_named
from pvd_core.weights import WeightsError, check_different, load_state, past_scans_of, read_facts
from pvd_core.weights.facts import DISTILLED_KEY
from training.data.batches import BatchStream, Share
from training.data.class_weights import class_weights, describe
from training.data.intensity_level import intensity_95th
from training.distil.config import DistillationConfig
from training.distil.distillation import DistillationObjective, Method, build_method, load_teacher
from training.distil.multi_to_single import MultiToSingleObjective
from training.distil.teacher_cache import TeacherCache, digest_of
from training.distil.views import sees_voxels_of
from training.judge.seen import seen_by_ancestors
from training.run.config import TrainConfig, config_as_dict
from training.run.initial_weights import in_words, initial_state, remarks_on_initial
from training.run.objective import SegmentationObjective
from training.run.optimization import RunningMean, build_optimizer
from training.run.progress import NoProgress
from training.run.run_data import Data
from training.run.run_folder import RunFolder
from training.run.state import TrainingState


@dataclasses.dataclass
class Session:
    """Everything that a run works with."""

    config: TrainConfig
    data: Data
    run: RunFolder
    progress: NoProgress
    fabric: Fabric
    objective: _FabricModule
    """TrainingBatch -> {term: scalar loss}."""
    state: TrainingState
    stream: BatchStream
    num_steps: int
    ancestors: list[dict[str, Any]]
    """What the weights that this run starts from and its teacher have seen, see `judge.seen`."""
    distilled: dict[str, Any]
    """What the header of the weights says of the teacher; nothing where there is none."""
    intensity_95th: float
    """Of the training scans, see `data.intensity_level`."""
    validation_s: float = 0.0
    """Duration of the last validation."""

    @property
    def writes(self) -> bool:
        """Whether this process is the one of all ranks that validates and writes files."""
        return self.fabric.is_global_zero


def build_session(config: TrainConfig, data: Data, run: RunFolder, progress: NoProgress, fabric: Fabric) -> Session:
    """The session of a run before its first step. UserError where settings, weights and data do not fit together."""
    keep_freed_memory()
    if config.num_threads:
        torch.set_num_threads(config.num_threads)
    torch.manual_seed(config.seed)
    model = _initial_network(config)
    model.backend = backend_for("auto", fabric.device)
    teachers, method = _teachers_and_method(config, model, fabric)
    _note_other_past_scans(config, progress)
    for remark in remarks_on_initial(config.initial_weights, config) if config.initial_weights is not None else ():
        progress.note(remark)
    for teacher in teachers:
        _note_small_teacher(model, teacher, progress)
        _note_other_grid(model, teacher, progress)
    supervised = SegmentationObjective(model, config.loss, _class_weights(config, data, progress))
    learner: SegmentationObjective | DistillationObjective = supervised
    if method is not None and config.distillation is not None:
        cache = _teacher_cache(config, model, method, data, fabric, progress)
        taxonomy, votes = data.training.taxonomy, config.distillation.votes
        num_taught = _num_taught_batches(config.distillation, config.accumulate)
        learner = DistillationObjective(supervised, method, teachers, taxonomy, config.seed, cache, votes, num_taught)
    objective: torch.nn.Module = learner
    if config.multi_to_single is not None:
        taxonomy = data.training.taxonomy
        objective = MultiToSingleObjective(learner, config.multi_to_single.loss, taxonomy, config.seed)
    optimizer = build_optimizer(objective.parameters(), config.optimizer)
    wrapped_objective, optimizer = fabric.setup(objective, optimizer)
    for teacher in teachers:
        # Fabric converts only what is trained to its number format.
        teacher.to(next(model.parameters()).dtype)
    running_mean = RunningMean(model, config.ema_decay) if config.ema_decay else None
    return Session(
        config=config,
        data=data,
        run=run,
        progress=progress,
        fabric=fabric,
        objective=wrapped_objective,
        state=TrainingState(
            model,
            optimizer,
            running_mean,
            data.training.fingerprint(),
            method,
            config_as_dict(config),
            digest_of(config.distillation.teachers) if config.distillation is not None else None,
        ),
        stream=_batches(config, data, model, fabric),
        num_steps=config.num_steps(data.training.num_scans()),
        ancestors=_ancestors(config),
        distilled=_distilled(config),
        intensity_95th=intensity_95th(data.training),
    )


def _initial_network(config: TrainConfig) -> Network:
    model = build_model(config.network)
    _check_objective(config, model)
    if config.initial_weights is not None:
        state = initial_state(config.initial_weights, model, config)
        try:
            load_state(model, state, config.initial_weights)
        except WeightsError as error:
            raise UserError(f"{error}\nmodel=null takes the network of initial_weights as it is") from error
    return model


def _check_objective(config: TrainConfig, model: Network) -> None:
    if model.predicts_from_points and "points" not in config.loss.scored:
        raise UserError(
            "loss.point_cross_entropy is 0, but the network labels points by its point outputs, which only that term "
            "trains; give it a positive value, or take a Cylinder3D whose model.refinement is R1 or none"
        )


def _teachers_and_method(config: TrainConfig, model: Network, fabric: Fabric) -> tuple[list[Network], Method | None]:
    if config.distillation is None:
        return [], None
    taxonomy = taxonomy_named(config.taxonomy)
    check_different(config.distillation.teachers)
    teachers = [load_teacher(path, model, taxonomy, fabric.device) for path in config.distillation.teachers]
    return teachers, build_method(config.distillation, model, teachers)


def _num_taught_batches(distillation: DistillationConfig, accumulate: int) -> int | None:
    return None if distillation.until_step is None else distillation.until_step * accumulate


def _class_weights(config: TrainConfig, data: Data, progress: NoProgress) -> torch.Tensor | None:
    if config.loss.class_weights == "none":
        return None
    counts = data.training.class_counts()
    if not counts[1:].any():
        raise UserError(f"no labelled point in {data.training.describe()}: there is nothing to learn from")
    weights = class_weights(counts, config.loss.class_weights)
    progress.note(f"class weights ({config.loss.class_weights}): {describe(weights, data.training.taxonomy)}")
    return weights


def _teacher_cache(
    config: TrainConfig, model: Network, method: Method, data: Data, fabric: Fabric, progress: NoProgress
) -> TeacherCache | None:
    distillation, num_scans = config.distillation, data.training.num_scans()
    # TrainConfig refuses a cache without versions, and for simulated worlds, which have no number of scans.
    if distillation is None or distillation.cache is None or num_scans is None or config.scan_versions is None:
        return None
    return TeacherCache(
        distillation.cache,
        distillation.teachers,
        model.grid,
        distillation.votes,
        method.config.teacher_fields,
        config.precision,
        fabric.device,
        num_scans * config.scan_versions,
        progress.note,
    )


def _batches(config: TrainConfig, data: Data, model: Network, fabric: Fabric) -> BatchStream:
    share = Share(fabric.global_rank, fabric.world_size)
    return BatchStream(
        data.training,
        config.batch_size,
        config.seed,
        config.augmentation,
        config.mixing,
        model.grid,
        fabric.device,
        share,
        config.max_voxels,
        with_enriched=config.multi_to_single is not None,
    )


def _note_other_past_scans(config: TrainConfig, progress: NoProgress) -> None:
    """Says where weights that the run takes learned from other past scans than those that it puts behind each scan."""
    for setting, path in _weights_taken(config):
        found = past_scans_of(read_facts(path))
        if (found.past, found.stride) != (config.scans.past, config.scans.stride):
            progress.note(
                f"warning: {setting} {path} expects {counted(found.past, 'past scan')} with stride {found.stride} "
                f"behind each, this run has scans.past {config.scans.past} and scans.stride {config.scans.stride}"
            )


def _note_small_teacher(model: Network, teacher: Network, progress: NoProgress) -> None:
    """Says where the teacher is the smaller network of the family: then mostly two paths are mixed up."""
    if type(teacher) is type(model) and teacher.num_parameters < model.num_parameters:
        progress.note(
            f"warning: the teacher has {teacher.num_parameters:,} parameters, fewer than the {model.num_parameters:,} "
            "of the student: is it the network that is meant?"
        )


def _note_other_grid(model: Network, teacher: Network, progress: NoProgress) -> None:
    if not sees_voxels_of([teacher], model.grid):
        progress.note(
            f"a teacher has grid {in_words(teacher.grid)}, the student {in_words(model.grid)}: what the teacher says "
            "of points is averaged over the student's voxels"
        )


def _ancestors(config: TrainConfig) -> list[dict[str, Any]]:
    return seen_by_ancestors(read_facts(path) for _, path in _weights_taken(config))


def _weights_taken(config: TrainConfig) -> list[tuple[str, str]]:
    """(setting, path) of each weights file that the run takes."""
    taken = [("initial_weights", config.initial_weights)] if config.initial_weights is not None else []
    if config.distillation is not None:
        taken += [("distillation.teacher", config.distillation.teacher)]
        taken += [("distillation.committee", path) for path in config.distillation.committee]
    return taken


def _distilled(config: TrainConfig) -> dict[str, Any]:
    if config.distillation is None:
        return {}
    teacher, *committee = (
        {key: facts[key] for key in ("model", "training_data", "step") if key in facts}
        for facts in map(read_facts, config.distillation.teachers)
    )
    until_step = config.distillation.until_step
    taught = {"method": config.distillation.method, "votes": config.distillation.votes, "teacher": teacher}
    if until_step is not None:
        taught["until_step"] = until_step
    return {DISTILLED_KEY: {**taught, **({"committee": committee} if committee else {})}}
