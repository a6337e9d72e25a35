"""A teacher on another grid than its student's, or that sees a scan several times: what it says of points, averaged
over the views and over the student's voxels."""

import json

import numpy as np
import pytest
import torch
from tiny_dataset import TINY_MODEL, random_scan, write_dataset

from pvd_cli.main import run
from pvd_core.borders.errors import UserError
from pvd_core.losses.methods import METHODS
from pvd_core.models import build_model
from pvd_core.segmenter import Segmenter
from pvd_core.taxonomy import SEMANTICKITTI
from pvd_core.weights import load_model, read_facts, save_weights
from pvd_core.weights.facts import DISTILLED_KEY
from training.data.augmentation.votes import VOTES, moved
from training.data.batches import make_batch
from training.data.example import Example
from training.distil.config import DistillationConfig
from training.distil.distillation import DistillationObjective, build_method, load_teacher
from training.distil.teacher_cache import TeacherCache
from training.distil.views import output_of_views
from training.judge.votes import segment_by_votes
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


def objective_of(method, teacher_paths, cache_folder=None, student=TINY_MODEL, votes=1):
    torch.manual_seed(0)
    student = build_model(student)
    first, *committee = map(str, teacher_paths)
    config = DistillationConfig(first, method, SETTINGS.get(method, {}), votes=votes, committee=tuple(committee))
    teachers = [load_teacher(path, student, SEMANTICKITTI, "cpu") for path in config.teachers]
    method = build_method(config, student, teachers)
    cache = None
    if cache_folder is not None:
        fields = method.config.teacher_fields
        cache = TeacherCache(
            cache_folder, config.teachers, student.grid, votes, fields, "fp32", torch.device("cpu"), 4, lambda _: None
        )
    supervised = SegmentationObjective(student, LossConfig())
    return DistillationObjective(supervised, method, teachers, SEMANTICKITTI, 0, cache, votes)


@pytest.mark.parametrize("votes", [1, 4, 8])
@pytest.mark.parametrize("name", TEACHERS)
def test_voxels_have_the_means_over_their_points_and_over_the_views(name, votes, teachers):
    network, students = load_model(teachers[name])[0], batch_for(TINY_MODEL)
    with torch.no_grad():
        found = output_of_views([network], students.points, students.voxels, votes, with_points=True)
        views = []
        for vote in VOTES[:votes]:
            own = network.grid.voxelise([torch.from_numpy(moved(points, vote)) for points in students.points])
            output, row_P = network(own, with_points=True), own.point_to_voxel_P.numpy()
            of_voxels = [output.voxel_logits_VC.numpy()[row_P], output.voxel_features_VE.numpy()[row_P]]
            has_points = network.has_point_outputs
            of_points = [output.point_logits_PC, output.point_features_PD] if has_points else of_voxels
            views.append([*of_voxels, *map(np.asarray, of_points)])
    voxel_logits, voxel_features, point_logits, point_features = (
        np.mean(each, axis=0) for each in zip(*views, strict=True)
    )
    voxel_P = students.voxels.point_to_voxel_P.numpy()
    for values, of_student in ((voxel_logits, found.voxel_logits_VC), (voxel_features, found.voxel_features_VE)):
        expected = [values[voxel_P == voxel].mean(axis=0) for voxel in range(students.voxels.num_voxels)]
        np.testing.assert_allclose(of_student, np.stack(expected), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.point_logits_PC, point_logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.point_features_PD, point_features, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("votes", "with_points"), [(1, True), (3, True), (1, False)])
def test_a_committee_says_the_mean_of_its_scores_and_has_the_first_ones_features(votes, with_points, teachers):
    networks = [load_model(teachers[name])[0] for name in ("spvcnn", "finer", "minkunet")]
    seen = batch_for(TINY_MODEL)
    with torch.no_grad():
        together, *alone = (
            output_of_views(each, seen.points, seen.voxels, votes, with_points)
            for each in (networks, *([network] for network in networks))
        )
    for name in ("voxel_logits_VC", "point_logits_PC"):
        expected = torch.stack([getattr(each, name) for each in alone]).mean(dim=0)
        torch.testing.assert_close(getattr(together, name), expected)
    for name in ("voxel_features_VE", "point_features_PD"):
        assert torch.equal(getattr(together, name), getattr(alone[0], name))


def test_labels_of_the_views_are_those_of_evaluation_with_votes(teachers):
    network, students = load_model(teachers["minkunet"])[0], batch_for(TINY_MODEL, seeds=(0,))
    points = students.points[0]
    with torch.no_grad():
        found = output_of_views([network], students.points, students.voxels, 4, with_points=False)
    labels = segment_by_votes(Segmenter(network, {"taxonomy": "semantickitti"}, "cpu"), points, 4).labels
    agree = found.point_logits_PC[:, 1:].argmax(dim=1).numpy() + 1 == labels
    assert agree.mean() > 0.999  # sums in another order


def test_on_the_same_voxels_one_view_changes_nothing():
    network, batch = build_model(TINY_MODEL).eval(), batch_for(TINY_MODEL)
    with torch.no_grad():
        output = network(batch.voxels)
        found = output_of_views([network], batch.points, batch.voxels, 1, with_points=True)
    for name in ("voxel_logits_VC", "voxel_features_VE", "point_logits_PC", "point_features_PD"):
        torch.testing.assert_close(getattr(found, name), getattr(output, name))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("names", "votes"), [(["finer"], 1), (["minkunet"], 1), (["spvcnn"], 3), (["minkunet", "finer"], 1)]
)
def test_every_method_teaches_from_every_family_the_same_with_a_cache(names, votes, method, teachers, tmp_path):
    batch, paths = batch_for(TINY_MODEL, seeds=(0,)), [teachers[name] for name in names]
    objective = objective_of(method, paths, votes=votes)
    terms = objective(batch)
    own = [key for key in terms if key not in ("cross_entropy", "lovasz", "point_cross_entropy", "ka_autoencoder")]
    sum(terms[key] for key in own).backward()
    gradients = [parameter.grad for parameter in objective.model.backbone.parameters() if parameter.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert sum(gradient.abs().sum().item() for gradient in gradients) > 0
    for _ in range(2):  # computed and kept, then read
        kept = objective_of(method, paths, tmp_path, votes=votes)(batch)
        assert {key: kept[key].item() for key in own} == {key: terms[key].item() for key in own}


def test_other_grids_other_votes_and_other_committees_share_no_kept_outputs(teachers, tmp_path):
    other = {**TINY_MODEL, "grid": {"shape": [24, 18, 4]}}
    minkunet, spvcnn = teachers["minkunet"], teachers["spvcnn"]
    for student, paths, votes in (
        (TINY_MODEL, [minkunet], 1),
        (other, [minkunet], 1),
        (TINY_MODEL, [minkunet], 2),
        (TINY_MODEL, [minkunet, spvcnn], 1),
        (TINY_MODEL, [spvcnn, minkunet], 1),
    ):
        batch = batch_for(student, seeds=(0,))
        expected = objective_of("pvd", paths, None, student, votes)(batch)
        kept = objective_of("pvd", paths, tmp_path, student, votes)(batch)
        assert {name: term.item() for name, term in kept.items()} == {
            name: term.item() for name, term in expected.items()
        }
    assert len(list(tmp_path.iterdir())) == 5


@pytest.mark.parametrize("name", TEACHERS)
def test_scans_of_two_points_teach_too(name, teachers):
    terms = objective_of("pvd", [teachers[name]])(batch_for(TINY_MODEL, seeds=(0, 0), num_points=2))
    assert all(term.isfinite() for term in terms.values())


@pytest.mark.parametrize("votes", [0, 9, -1])
def test_a_number_of_votes_that_is_none_is_refused(votes):
    with pytest.raises(UserError, match=f"distillation.votes is {votes}: expected 1 to 8"):
        DistillationConfig("teacher.safetensors", votes=votes)


def test_the_command_says_that_the_grids_differ_and_the_header_names_the_teacher(teachers, tmp_path, capsys):
    dataset = write_dataset(tmp_path / "drive", {"00": 2, "08": 1})
    config = tmp_path / "config.yaml"
    in_file = {"model": TINY_MODEL, "max_steps": 2, "num_threads": 1, "distillation": {"committee": ["not/taken"]}}
    config.write_text(json.dumps(in_file))
    command = ["distill", str(dataset), "--config", str(config), "--teacher", str(teachers["minkunet"])]
    assert run([*command, "--out", str(tmp_path / "run")]) == 0
    output = capsys.readouterr()
    assert "a teacher has grid kind cartesian, voxel_size 1.0" in output.out
    assert f"distillation.committee of {config} is left out: ['not/taken']" in output.err
    assert "fewer" not in output.out  # than the student: families differ in it
    distilled = read_facts(tmp_path / "run/last.safetensors")[DISTILLED_KEY]
    assert (distilled["method"], distilled["teacher"]["model"]["architecture"]) == ("pvd", "minkunet")
    assert "committee" not in distilled
    committee = tmp_path / "committee.safetensors"
    save_weights(committee, load_model(teachers["spvcnn"])[0], {"training_data": {"dataset": "d", "sequences": ["03"]}})
    assert run([*command, "--teacher", str(committee), "--out", str(tmp_path / "both")]) == 0
    facts = read_facts(tmp_path / "both/last.safetensors")
    of_committee = [each["model"]["architecture"] for each in facts[DISTILLED_KEY]["committee"]]
    assert (facts[DISTILLED_KEY]["teacher"]["model"]["architecture"], of_committee) == ("minkunet", ["spvcnn"])
    assert {"dataset": "d", "sequences": ["03"]} in facts["ancestors"]
    torch.manual_seed(2)
    save_weights(committee, build_model(TEACHERS["spvcnn"]))
    capsys.readouterr()
    assert (
        run([*command, "--set", f"distillation.committee=[{teachers['minkunet']}]", "--out", str(tmp_path / "c")]) == 2
    )
    assert "are the same: name each network once" in capsys.readouterr().err
    assert run(["distill", "--resume", str(tmp_path / "both")]) == 2
    assert "distillation.teacher or its committee holds other weights" in capsys.readouterr().err
