"""A student that learns from a teacher: loading the frozen teacher, and the objective of the student.

The teacher, or several that teach together, get the same points as the student, in evaluation mode and without
gradients.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from pvd_core.borders.errors import UserError
from pvd_core.borders.wording import shown
from pvd_core.losses.distillation import Channels, DistillationPair, needs_points
from pvd_core.losses.methods import METHODS, WITHOUT_POINTS
from pvd_core.models import Network
from pvd_core.models.build import architecture_of, setting_names
from pvd_core.models.output import SegmentationOutput
from pvd_core.sparse import Sites
from pvd_core.taxonomy import Taxonomy
from pvd_core.weights import load_model, taxonomy_of
from training.data.batches import TrainingBatch
from training.distil.config import DistillationConfig
from training.distil.draws import METHOD, generator_for
from training.distil.teacher_cache import TeacherCache
from training.distil.teacher_source import FrozenTeacher
from training.distil.views import sees_voxels_of


class Method(Protocol):
    """One of `pvd_core.losses.methods`: the losses between the outputs of student and teacher."""

    config: Any

    def __call__(self, pair: DistillationPair) -> dict[str, torch.Tensor]:
        """{term: scalar loss}."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """That of its learnable parts."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> object:
        """Restores what `state_dict` gave."""
        ...


class Supervised(Protocol):
    """The objective that learns from labels, SegmentationObjective: the student and its losses."""

    model: Network
    class_weights: torch.Tensor | None

    def learn(
        self, batch: TrainingBatch, sites: Sites | None = None
    ) -> tuple[SegmentationOutput, dict[str, torch.Tensor]]:
        """(the student's output, {term: scalar loss})."""
        ...

    def outputs(
        self, batch: TrainingBatch, with_points: bool = False, sites: Sites | None = None
    ) -> SegmentationOutput:
        """The student's output."""
        ...

    def terms(self, output: SegmentationOutput, batch: TrainingBatch) -> dict[str, torch.Tensor]:
        """{term: scalar loss}."""
        ...


def load_teacher(path: str | Path, student: Network, taxonomy: Taxonomy, device: torch.device | str) -> Network:
    """The frozen teacher for `student`, whose classes are those of `taxonomy`. Its grid may be another (`views`).
    UserError where its classes are others, or only one of the two reads the time of points."""
    teacher, facts = load_model(path, device)
    for what, of_teacher, of_student in (
        ("taxonomy", taxonomy_of(facts).name, taxonomy.name),
        ("scans.time", shown(teacher.grid.time), shown(student.grid.time)),
    ):
        if of_teacher != of_student:
            raise UserError(
                f"teacher {path} has {what} {of_teacher}, the student {of_student}: both must have the same; change "
                "the student's settings or take another teacher"
            )
    # With the student's engine and grid the teacher shares its sites and kernel maps.
    teacher.backend = student.backend
    return teacher.requires_grad_(False)


def build_method(config: DistillationConfig, student: Network, teachers: Sequence[Network]) -> Method:
    """The distillation method of `config` between two networks, the student and the first of the teachers, which gives
    the features. UserError for a method that needs point outputs where one of the two has none."""
    teacher = teachers[0]
    method_class, _ = METHODS[config.method]
    method_config = config.of_network(architecture_of(student)).method_config()
    has_views = not sees_voxels_of(teachers, student.grid, config.votes)
    if needs_points(method_config):
        for role, network in (("student", student), ("teacher", teacher)):
            if not (network.has_point_outputs or (role == "teacher" and has_views)):
                settings = " and ".join(f"distillation.settings.{each}" for each in WITHOUT_POINTS[config.method])
                # Of the families that there are, Cylinder3D alone may be without, by this setting.
                can_have = role == "student" and "refinement" in setting_names(architecture_of(network))
                remedy = ", or model.refinement to R3" if can_have else ""
                raise UserError(
                    f"method {config.method} needs point outputs, but the {role}, a {architecture_of(network)}, has "
                    f"none: set {settings}{remedy}"
                )
    return method_class(method_config, _channels(student), _channels(teacher))


class DistillationObjective(nn.Module):
    """The losses of the student, from labels and from the teacher: TrainingBatch -> {term: scalar loss}."""

    is_minority_C: torch.Tensor

    def __init__(
        self,
        supervised: Supervised,
        method: Method,
        teachers: Sequence[Network],
        taxonomy: Taxonomy,
        seed: int,
        cache: TeacherCache | None = None,
        votes: int = 1,
        num_taught: int | None = None,
    ) -> None:
        """`taxonomy`: that of the labels. `cache`, `votes`: as FrozenTeacher. `num_taught`: the teachers teach in
        so many batches, the first of the run; in all if left out."""
        super().__init__()
        self._num_taught = num_taught
        self.supervised, self.method, self.seed = supervised, method, seed
        self._with_points = needs_points(method.config)
        self.register_buffer("is_minority_C", torch.from_numpy(taxonomy.is_minority_C), persistent=False)
        # No module, so that the teachers are none of ours: they are not trained, saved or put into training mode.
        self.source = FrozenTeacher(teachers, self._with_points, cache, votes)

    @property
    def model(self) -> Network:
        """The student."""
        return self.supervised.model

    @property
    def teachers(self) -> Sequence[Network]:
        """The frozen networks."""
        return self.source.networks

    def teacher_output(self, batch: TrainingBatch, sites: Sites | None = None) -> SegmentationOutput:
        """The teachers' output for a batch. `sites`: those of the batch's voxels, if they have been built already."""
        return self.source.teaching(batch, sites).output

    def forward(self, batch: TrainingBatch) -> dict[str, torch.Tensor]:
        """{term: scalar loss}, each already times its factor; their sum is what is minimised."""
        # Networks that see the same voxels share one set of kernel maps.
        return self.learn(batch, self.model.sites_of(batch.voxels))[1]

    def learn(self, batch: TrainingBatch, sites: Sites) -> tuple[SegmentationOutput, dict[str, torch.Tensor]]:
        """(the student's output, the terms of `forward`). `sites`: those of the batch's voxels."""
        if self._num_taught is not None and batch.number >= self._num_taught:
            return self.supervised.learn(batch, sites)
        student = self.supervised.outputs(batch, with_points=self._with_points, sites=sites)
        teacher = self.teacher_output(batch, sites)
        # Losses in float32 whatever the networks compute in.
        with torch.autocast(device_type=batch.point_labels_P.device.type, enabled=False):
            scans = range(batch.first_scan, batch.first_scan + batch.voxels.batch_size)
            pair = DistillationPair(
                student,
                teacher,
                batch.voxels,
                batch.voxel_labels_V,
                batch.point_labels_P,
                self.is_minority_C,
                self.supervised.class_weights,
                generator_for(METHOD, self.seed, batch.number),
                tuple(generator_for(METHOD, self.seed, batch.number, scan) for scan in scans),
            )
            return student, {**self.supervised.terms(student, batch), **self.method(pair)}


def _channels(network: Network) -> Channels:
    return Channels(voxel_features=network.voxel_feature_channels, classes=network.config.num_classes)
