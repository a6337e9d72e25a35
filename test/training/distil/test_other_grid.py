"""A teacher on another grid than its student's: what it says of points, averaged over the student's voxels."""

import json

import numpy as np
import pytest
import torch
from tiny_dataset import TINY_MODEL, random_scan, write_dataset

from pvd_cli.main import run
from pvd_core.losses.methods import METHODS
from pvd_core.models import build_model
from pvd_core.models.output import SegmentationOutput
from pvd_core.taxonomy import SEMANTICKITTI
from pvd_core.weights import read_facts, save_weights
from pvd_core.weights.facts import DISTILLED_KEY
from training.data.batches import make_batch
from training.data.example import Example
from training.distil.config import DistillationConfig
from training.distil.distillation import DistillationObjective, build_method, load_teacher
from training.distil.other_grid import on_voxels_of_student
from training.distil.teacher_cache import TeacherCache
from training.run.config import LossConfig
from training.run.objective import SegmentationObjective

pytestmark = pytest.mark.usefixtures("without_curves")

TEACHERS = {
    "finer": {**TINY_MODEL, "grid": {"shape": [48, 36, 16]}},
    "minkunet": {"architecture": "minkunet", "channel_ratio": 0.1, "grid": {"voxel_size": 1.0}},
    "spvcnn": {"architecture": "spvcnn", "channel_ratio": 0.1, "grid": {"voxel_size": 1.0}},
}
SETTINGS = {"pvd": {"supervoxel_size": [6, 6, 4]}, "skd": {"node_size": [6, 6, 4]}, "ka": {"autoencoder_steps": 0}}


@pytest.fixture(scope="module")
def teachers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(1)
    for name, model in TEACHERS.items():
        save_weights(folder / f"{name}.safetensors", build_model(model))
    return {name: folder / f"{name}.safetensors" for name in TEACHERS}


def batch_for(model, seeds=(0, 1), num_points=2000):
    scans = []
    for seed in seeds:
        points, raw = random_scan(np.random.default_rng(seed))
        scan = Example.of_scan(points, SEMANTICKITTI.class_ids_from_raw(raw))
        scans.append(scan.chosen(slice(num_points - seed)))
    return make_batch(scans, build_model(model).grid, number=3)


def objective_of(method, teacher_path, cache_folder=None, student=TINY_MODEL):
    torch.manual_seed(0)
    student = build_model(student)
    config = DistillationConfig(str(teacher_path), method, SETTINGS.get(method, {}))
    teacher = load_teacher(teacher_path, student, SEMANTICKITTI, "cpu")
    method = build_method(config, student, teacher)
    cache = None
    if cache_folder is not None:
        fields = method.config.teacher_fields
        cache = TeacherCache(
            cache_folder, teacher_path, student.grid, fields, "fp32", torch.device("cpu"), 4, lambda _: None
        )
    supervised = SegmentationObjective(student, LossConfig())
    return DistillationObjective(supervised, method, teacher, SEMANTICKITTI, 0, cache)


@pytest.mark.parametrize("has_points", [True, False])
def test_voxels_have_the_means_over_their_points_and_points_what_the_teacher_says_of_them(has_points):
    own, students = batch_for(TEACHERS["minkunet"]).voxels, batch_for(TINY_MODEL).voxels
    torch.manual_seed(0)
    output = SegmentationOutput(
        torch.randn(own.num_voxels, 20),
        torch.randn(own.num_voxels, 7),
        *((torch.randn(3999, 20), torch.randn(3999, 5)) if has_points else ()),
    )
    found = on_voxels_of_student(output, own, students)
    points = own.point_to_voxel_P.numpy()
    for of_teacher, of_voxels in (
        (output.voxel_logits_VC, found.voxel_logits_VC),
        (output.voxel_features_VE, found.voxel_features_VE),
    ):
        at_points = of_teacher.numpy()[points]
        expected = [at_points[students.point_to_voxel_P == voxel].mean(axis=0) for voxel in range(students.num_voxels)]
        np.testing.assert_allclose(of_voxels, np.stack(expected), rtol=1e-5, atol=1e-6)
    if has_points:
        assert found.point_logits_PC is output.point_logits_PC
        assert found.point_features_PD is output.point_features_PD
    else:
        np.testing.assert_array_equal(found.point_logits_PC, output.voxel_logits_VC.numpy()[points])
        np.testing.assert_array_equal(found.point_features_PD, output.voxel_features_VE.numpy()[points])


def test_on_the_same_voxels_nothing_changes(teachers):
    voxels = batch_for(TINY_MODEL).voxels
    with torch.no_grad():
        output = build_model(TINY_MODEL).eval()(voxels)
    found = on_voxels_of_student(output, voxels, voxels)
    for name in ("voxel_logits_VC", "voxel_features_VE", "point_logits_PC", "point_features_PD"):
        torch.testing.assert_close(getattr(found, name), getattr(output, name))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", TEACHERS)
def test_every_method_teaches_from_every_family_the_same_with_a_cache(name, method, teachers, tmp_path):
    batch = batch_for(TINY_MODEL, seeds=(0,))
    objective = objective_of(method, teachers[name])
    terms = objective(batch)
    own = [key for key in terms if key not in ("cross_entropy", "lovasz", "point_cross_entropy", "ka_autoencoder")]
    sum(terms[key] for key in own).backward()
    gradients = [parameter.grad for parameter in objective.model.backbone.parameters() if parameter.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert sum(gradient.abs().sum().item() for gradient in gradients) > 0
    for _ in range(2):  # computed and kept, then read
        kept = objective_of(method, teachers[name], tmp_path)(batch)
        assert {key: kept[key].item() for key in own} == {key: terms[key].item() for key in own}


def test_students_on_different_grids_share_no_kept_outputs(teachers, tmp_path):
    other = {**TINY_MODEL, "grid": {"shape": [24, 18, 4]}}
    for student in (TINY_MODEL, other):
        batch = batch_for(student, seeds=(0,))
        expected = objective_of("pvd", teachers["minkunet"], student=student)(batch)
        kept = objective_of("pvd", teachers["minkunet"], tmp_path, student)(batch)
        assert {name: term.item() for name, term in kept.items()} == {
            name: term.item() for name, term in expected.items()
        }
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("name", TEACHERS)
def test_scans_of_two_points_teach_too(name, teachers):
    terms = objective_of("pvd", teachers[name])(batch_for(TINY_MODEL, seeds=(0, 0), num_points=2))
    assert all(term.isfinite() for term in terms.values())


def test_the_command_says_that_the_grids_differ_and_the_header_names_the_teacher(teachers, tmp_path, capsys):
    dataset = write_dataset(tmp_path / "drive", {"00": 2, "08": 1})
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({"model": TINY_MODEL, "max_steps": 2, "num_threads": 1}))
    command = ["distill", str(dataset), "--config", str(config), "--teacher", str(teachers["minkunet"])]
    assert run([*command, "--out", str(tmp_path / "run")]) == 0
    output = capsys.readouterr().out
    assert "the teacher has grid kind cartesian, voxel_size 1.0" in output
    assert "fewer" not in output  # than the student: families differ in it
    distilled = read_facts(tmp_path / "run/last.safetensors")[DISTILLED_KEY]
    assert (distilled["method"], distilled["teacher"]["model"]["architecture"]) == ("pvd", "minkunet")
