"""How strong terms of a distillation are beside the labels: by hand, in logs and on the command line."""

import json
import math

import numpy as np
import pytest
import torch
from tiny_dataset import TINY_MODEL, random_scan, write_dataset
from training_runs import results

from pvd_cli.main import run
from pvd_core.losses.methods import METHODS
from pvd_core.models import build_model
from pvd_core.taxonomy import SEMANTICKITTI
from pvd_core.weights import save_weights
from training.data.batches import make_batch
from training.data.dataset import ScanFolder
from training.data.example import Example
from training.data.instances.cut import cut_instances
from training.distil.config import DistillationConfig
from training.distil.distillation import DistillationObjective, build_method, load_teacher
from training.run.config import LossConfig, load_config, settings_without_effect
from training.run.gradient_shares import gradient_shares, shares
from training.run.loop import train
from training.run.objective import SegmentationObjective

pytestmark = pytest.mark.usefixtures("without_curves")

SETTINGS = {
    "pvd": {"supervoxel_size": [6, 6, 4]},
    "skd": {"node_size": [6, 6, 4]},
    "ka": {"autoencoder_steps": 0},
}
SUPERVISED = {"cross_entropy", "lovasz", "point_cross_entropy"}


def test_shares_are_those_of_gradients_by_hand():
    features = torch.tensor([[1.0, -2.0], [0.5, 4.0]], requires_grad=True)
    other_pass = torch.tensor([[3.0]], requires_grad=True)
    terms = {
        "cross_entropy": 3 * features[0].sum(),  # gradient 3, 3
        "lovasz": 4 * features[1, 0] - 3 * features[0, 1],  # 4 and -3: together 3, 0, 4
        "kd": 0.5 * 0.1 * features.square().sum(),  # 0.1 times the features
        "m2s_changed": 2 * other_pass.sum() + features[1, 1],  # 2 and 1
        "ka_autoencoder": torch.tensor(7.0, requires_grad=True) * 1,
        "ka_affinity": torch.tensor(0.0),
    }
    found = shares(terms, [features, other_pass])
    expected = {
        "kd": 0.1 * math.sqrt(1 + 4 + 0.25 + 16) / 5,
        "m2s_changed": math.sqrt(5) / 5,
        "ka_autoencoder": 0,
        "ka_affinity": 0,
    }
    assert found == pytest.approx(expected)


def test_without_a_supervised_gradient_there_are_no_shares():
    features = torch.ones(2, 2, requires_grad=True)
    assert shares({"kd": features.sum()}, [features]) == {}
    assert shares({"lovasz": 0 * features.sum(), "kd": features.sum()}, [features]) == {}


@pytest.fixture(scope="module")
def teacher_path(tmp_path_factory):
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("weights") / "teacher.safetensors"
    save_weights(path, build_model({**TINY_MODEL, "width": 6}))
    return path


def objective_of(method, teacher_path):
    torch.manual_seed(0)
    student = build_model(TINY_MODEL)
    config = DistillationConfig(str(teacher_path), method, SETTINGS.get(method, {}))
    teacher = load_teacher(teacher_path, student, SEMANTICKITTI, "cpu")
    supervised = SegmentationObjective(student, LossConfig())
    return DistillationObjective(supervised, build_method(config, student, [teacher]), [teacher], SEMANTICKITTI, 0)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_the_shares_of_its_terms_and_trains_as_without(method, teacher_path):
    points, raw = random_scan(np.random.default_rng(0))
    scan = Example.of_scan(points, SEMANTICKITTI.class_ids_from_raw(raw))
    objective = objective_of(method, teacher_path)
    batch = make_batch([scan], objective.model.grid, number=3)
    plain = objective_of(method, teacher_path)
    output, expected_terms = plain.learn(batch, plain.model.sites_of(batch.voxels))
    with gradient_shares(objective, objective.model) as found:
        terms = objective(batch)

    assert {name: term.item() for name, term in terms.items()} == {n: t.item() for n, t in expected_terms.items()}
    assert set(found) == set(terms) - SUPERVISED

    def norm(*names):
        (gradient,) = torch.autograd.grad(
            sum(expected_terms[name] for name in names), output.voxel_features_VE, retain_graph=True, allow_unused=True
        )
        return 0.0 if gradient is None else gradient.norm().item()

    assert found == pytest.approx({name: norm(name) / norm(*SUPERVISED) for name in found}, rel=1e-4)
    assert max(found.values()) > 0
    for each in (objective, plain):
        sum((terms if each is objective else expected_terms).values()).backward()
    for first, second in zip(objective.parameters(), plain.parameters(), strict=True):
        assert torch.equal(first.grad, second.grad)
    # Outside the block nothing is measured.
    found.clear()
    objective(batch)
    assert not found


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("drive"), {"00": 4, "08": 1})


@pytest.fixture(scope="module")
def settings(dataset, teacher_path):
    return [
        f"dataset={dataset}",
        f"model={json.dumps(TINY_MODEL)}",
        f"distillation.teacher={teacher_path}",
        f"distillation.settings={json.dumps(SETTINGS['pvd'])}",
        "max_steps=4",
        "num_threads=1",
        "accumulate=2",
        "batch_size=1",
    ]


def test_shares_are_logged_every_so_many_steps_and_change_no_loss(settings, tmp_path):
    for name, every in (("without", 0), ("with", 2)):
        train(load_config(None, [*settings, f"log_gradients_every_steps={every}"]), tmp_path / name)
    lines, plain = results(tmp_path / "with")[0], results(tmp_path / "without")[0]
    start = "gradient_share_"
    of_step = {line["step"]: {key: value for key, value in line.items() if key.startswith(start)} for line in lines}
    names = {f"{start}{name}" for name in ("point_output", "voxel_output", "point_affinity", "voxel_affinity")}
    assert {step: set(found) for step, found in of_step.items()} == {1: set(), 2: names, 3: set(), 4: names}
    assert all(value > 0 for value in of_step[2].values())
    assert [{key: value for key, value in line.items() if not key.startswith(start)} for line in lines] == plain


def test_the_pass_over_enriched_scans_counts_too(dataset, tmp_path):
    cut_instances(ScanFolder(dataset, "00"), tmp_path / "cut", (SEMANTICKITTI.id_of("car"),))
    more = [f"multi_to_single.instances={tmp_path / 'cut'}", 'multi_to_single.loss={"hard_classes": ["car"]}']
    common = [f"dataset={dataset}", f"model={json.dumps(TINY_MODEL)}", "num_threads=1", "batch_size=1", "max_steps=4"]
    train(load_config(None, [*common, *more, "log_gradients_every_steps=1"]), tmp_path / "run")
    lines = results(tmp_path / "run")[0]
    for name in ("m2s_changed", "m2s_logit", "m2s_class_affinity"):
        assert max(line[f"gradient_share_{name}"] for line in lines) > 0, name


def test_the_setting_is_refused_below_0_and_named_without_a_distillation(dataset):
    config = load_config(None, [f"dataset={dataset}", "log_gradients_every_steps=5"])
    assert any("log_gradients_every_steps has no effect" in line for line in settings_without_effect(config))
    with pytest.raises(Exception, match="log_gradients_every_steps is -1"):
        load_config(None, [f"dataset={dataset}", "log_gradients_every_steps=-1"])


def test_time_prints_the_shares_also_of_a_teacher_that_stops(dataset, teacher_path, tmp_path, capsys):
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({"model": TINY_MODEL, "num_threads": 1}))
    command = ["distill", str(dataset), "--teacher", str(teacher_path), "--config", str(config), "--time", "1"]
    assert run([*command, "--method", "kd", "--set", "distillation.until_step=1"]) == 0
    assert "at the features that enter the classifier: kd 0." in capsys.readouterr().out
