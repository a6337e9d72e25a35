"""A student that learns from a teacher: the frozen teacher, and the objective of both.

The teacher sees the same voxels as the student, in evaluation mode and without gradients.
"""

import numpy as np
import torch
from torch import nn

from pvd_core.borders.errors import UserError
from pvd_core.losses.distillation import Channels, DistillationPair, needs_points
from pvd_core.losses.methods import METHODS
from pvd_core.weights import load_model

# Keeps what a method draws apart from the other uses of the seed.
_DRAWS = 2


def load_teacher(path, student, device):
    """The frozen teacher for `student`; UserError where the two do not fit together."""
    teacher, _facts = load_model(path, device)
    for what, of_teacher, of_student in (
        ("classes", teacher.config.num_classes, student.config.num_classes),
        ("grid", teacher.grid, student.grid),
    ):
        if of_teacher != of_student:
            raise UserError(
                f"teacher {path} has {what} {of_teacher}, the student {of_student}: both must see the same; change the "
                f"student's model settings or take another teacher"
            )
    return teacher.requires_grad_(False)


def build_method(config, student, teacher):
    """The distillation method of a DistillationConfig between two networks."""
    method_class, _ = METHODS[config.method]
    method_config = config.method_config()
    if needs_points(method_config):
        for role, network in (("student", student), ("teacher", teacher)):
            if network.config.refinement == "none":
                raise UserError(
                    f"method {config.method} needs point outputs, but the {role} has no point refinement: set "
                    f"model.refinement to R3, or the method's coefficients on points to 0"
                )
    return method_class(method_config, _channels(student), _channels(teacher))


class DistillationObjective(nn.Module):
    """The supervised objective of the student plus the terms of a method: TrainingBatch -> {term: scalar loss}."""

    def __init__(self, supervised, method, teacher, seed, cache=None):
        """`cache`: a TeacherCache, or None to ask the teacher at every step."""
        super().__init__()
        self.supervised, self.method, self.seed, self.cache = supervised, method, seed, cache
        self._with_points = needs_points(method.config)
        # In a tuple, so that the teacher is no part of this module: it is neither trained, saved nor put in training
        # mode.
        self._teacher = (teacher,)

    @property
    def teacher(self):
        return self._teacher[0]

    def teacher_output(self, batch, sites=None):
        """SegmentationOutput of the teacher. `sites`: those of the batch's voxels, where they are there already."""
        if self.cache is None:
            return self._ask(batch.voxels, sites)
        return self.cache.output(batch, lambda voxels: self._ask(voxels, sites if voxels is batch.voxels else None))

    @torch.no_grad()
    def _ask(self, voxels, sites):
        return self.teacher(voxels, with_points=self._with_points, sites=sites)

    def forward(self, batch):
        # Both networks see the same voxels, so one of them makes the kernel maps.
        sites = self.supervised.model.sites_of(batch.voxels)
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
                self.supervised.class_weights,
                _generator(self.seed, batch.number),
                tuple(_generator(self.seed, batch.number, scan) for scan in scans),
            )
            return {**self.supervised.terms(student, batch), **self.method(pair)}


def _generator(seed, batch_number, *scan):
    """What a method draws at random is a function of the seed, the batch and, where it is for one scan, the scan's
    number in it: a resumed run, or one with other ranks, draws the same."""
    (state,) = np.random.SeedSequence((seed, _DRAWS, batch_number, *scan)).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))


def _channels(network):
    return Channels(voxel_features=4 * network.config.width, classes=network.config.num_classes)
