"""Training for the classes of a taxonomy: what is learnt, what the weights say, and which weights do not fit."""

import json

import pytest
import torch
from tiny_dataset import TINY_MODEL, write_dataset

from pvd_core.borders.errors import UserError
from pvd_core.models import build_model
from pvd_core.taxonomy import SEMANTICKITTI_MULTISCAN, TAXONOMIES
from pvd_core.weights import load_model, save_weights, taxonomy_of
from training.run.config import load_config
from training.run.loop import train

pytestmark = pytest.mark.usefixtures("without_curves")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("drive"), {"00": 4, "08": 2})


@pytest.fixture(scope="module")
def wide_weights(tmp_path_factory):
    """{name of a taxonomy: weights of a wider network for it}."""
    folder, paths = tmp_path_factory.mktemp("weights"), {}
    for name, taxonomy in TAXONOMIES.items():
        torch.manual_seed(1)
        paths[name] = folder / f"{name}.safetensors"
        settings = {**TINY_MODEL, "width": 6, "num_classes": taxonomy.num_classes}
        save_weights(paths[name], build_model(settings), {"taxonomy": name})
    return paths


def config_for(dataset, *overrides):
    base = [f"dataset={dataset}", f"model={json.dumps(TINY_MODEL)}", "num_threads=1", "max_steps=2", "batch_size=1"]
    return load_config(None, [*base, "validation.every_steps=0", *overrides])


MULTISCAN = "taxonomy=semantickitti-multiscan"


def test_a_student_of_the_multi_scan_task_learns_from_its_teacher(dataset, wide_weights, tmp_path):
    teacher = wide_weights["semantickitti-multiscan"]
    settings = ("loss.class_weights=sqrt", "mixing.polar_mix=1.0", "augmentation.intensity_by_class=0.1")
    distillation = (f"distillation.teacher={teacher}", "distillation.settings.supervoxel_size=[6,6,4]")
    summary = train(config_for(dataset, MULTISCAN, *settings, *distillation), tmp_path / "run")

    model, facts = load_model(summary["last_weights"])
    assert taxonomy_of(facts) == SEMANTICKITTI_MULTISCAN
    assert model.config.num_classes == 26
    assert list(summary["iou"]) == list(SEMANTICKITTI_MULTISCAN.names[1:])


def test_initial_weights_of_another_family_are_refused_by_name(dataset, wide_weights, tmp_path):
    weights = wide_weights["semantickitti"]
    config = config_for(dataset, f"initial_weights={weights}", "model={name: minkunet-0.25x}")
    with pytest.raises(UserError, match=str(weights)):
        train(config, tmp_path / "a")


def test_initial_weights_and_teachers_of_other_classes_are_refused(dataset, wide_weights, tmp_path):
    of_single_scans, of_many = wide_weights["semantickitti"], wide_weights["semantickitti-multiscan"]
    with pytest.raises(UserError, match="are of taxonomy semantickitti-multiscan, taxonomy is semantickitti: set"):
        train(config_for(dataset, f"initial_weights={of_many}"), tmp_path / "a")
    sliced = (f"initial_weights={of_single_scans}", "initial_slice=true")
    with pytest.raises(UserError, match="are of taxonomy semantickitti, taxonomy is semantickitti-multiscan: set"):
        train(config_for(dataset, MULTISCAN, *sliced), tmp_path / "a")
    with pytest.raises(UserError, match="has taxonomy semantickitti, the student semantickitti-multiscan"):
        train(config_for(dataset, MULTISCAN, f"distillation.teacher={of_single_scans}"), tmp_path / "b")


def test_a_number_of_classes_that_is_not_that_of_the_taxonomy_is_refused(dataset):
    assert config_for(dataset, MULTISCAN, "model.num_classes=26").network["num_classes"] == 26
    with pytest.raises(UserError, match="num_classes is 20: the labels of taxonomy semantickitti-multiscan have 26"):
        config_for(dataset, MULTISCAN, "model.num_classes=20")
    with pytest.raises(UserError, match="unknown taxonomy 'nuscenes'"):
        config_for(dataset, "taxonomy=nuscenes")
