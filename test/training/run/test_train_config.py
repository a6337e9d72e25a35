"""Settings of a training run: YAML, overrides, and messages for mistakes."""

from dataclasses import replace

import pytest
import torch
import yaml

from pvd_core import shipped_weights
from pvd_core.borders.errors import UserError
from pvd_core.models import build_model
from pvd_core.weights import load_model
from training.run.config import TrainConfig, config_as_dict, differing_keys, load_config, settings_without_effect


def test_file_and_overrides_fill_the_config_and_overrides_win(tmp_path):
    path = tmp_path / "train.yaml"
    path.write_text("dataset: /data\nbatch_size: 4\noptimizer: {learning_rate: 1e-3, name: adam}\n")
    config = load_config(path, ["batch_size=3", "loss.class_weights=sqrt", "model.width=16"])
    assert (config.dataset, config.batch_size, config.optimizer.name) == ("/data", 3, "adam")
    assert config.optimizer.learning_rate == 0.001
    assert config.loss.class_weights == "sqrt"
    assert config.model == {"name": "cylinder3d-compact", "width": 16}


@pytest.mark.parametrize("text", ["model: cylinder3d-0.5x", "model: {name: cylinder3d-0.5x}"])
def test_network_is_named_alone_or_with_settings(tmp_path, text):
    path = tmp_path / "train.yaml"
    path.write_text(f"dataset: d\n{text}\n")
    assert load_config(path).model == {"name": "cylinder3d-0.5x"}
    assert load_config(path, ["model.refinement=R1"]).model == {"name": "cylinder3d-0.5x", "refinement": "R1"}
    assert load_config(path, ["model=cylinder3d-1x"]).model == {"name": "cylinder3d-1x"}


def test_an_override_within_a_section_that_is_null_begins_it(tmp_path):
    path = tmp_path / "train.yaml"
    path.write_text("dataset: d\ndistillation: null\n")
    config = load_config(path, ["distillation.teacher=big.safetensors", "distillation.method=kd"])
    assert config.distillation.teacher == "big.safetensors"
    with pytest.raises(UserError, match=r"no distillation\.teacher, which is required"):
        load_config(path, ["distillation.method=kd"])


def test_written_config_reads_back_as_the_same_config(tmp_path):
    config = load_config(None, ["dataset=d", "sequences=[00, 10]", "augmentation.scale=[0.9, 1.1]", "max_minutes=1.5"])
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config_as_dict(config)))
    assert load_config(path) == config


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("batchsize=2", "unknown config key 'batchsize'; did you mean batch_size?"),
        ("optimizer.learning_rat=2", "did you mean optimizer.learning_rate?"),
        ("learning_rate=2", "did you mean optimizer.learning_rate?"),
        ("learning_rte=2", "did you mean optimizer.learning_rate?"),
        ("optimizer.betas=[0.9, 1.0]", "optimizer.betas are"),
        ("batch_size=1000000", "batch_size is 1000000: expected at most 1000"),
        ("num_threads=5000", "num_threads is 5000: expected at most 256"),
        ("zzz=1", "unknown config key 'zzz'; Known: dataset, model"),
        ("batch_size=two", "batch_size is 'two': expected a whole number"),
        ("batch_size=1.5", "batch_size is 1.5: expected a whole number"),
        ("batch_size=0", "batch_size is 0: expected more than 0"),
        ("optimizer.learning_rate=fast", "optimizer.learning_rate is 'fast': expected a number"),
        ("optimizer.learning_rate=.inf", "optimizer.learning_rate is inf: expected a finite number"),
        ("augmentation.flip=1", "augmentation.flip is 1: expected true or false"),
        ("augmentation.scale=[1]", "augmentation.scale is .*: expected a list of 2 values"),
        ("loss=3", "loss is 3: expected a section"),
        ("loss.class_weights=cube", "loss.class_weights is 'cube': expected one of none, sqrt, cuberoot"),
        ("max_scans=many", "max_scans is 'many': expected a whole number or null"),
        ("optimizer.name.x=1", "'name' holds 'adam', not further settings"),
        ("batch_size", "expected key=value"),
        ("batch_size=[", "is not valid YAML"),
        ("ema_decay=1", "ema_decay is 1.0"),
        ("mixing.laser_mix=0.7", "mixing.laser_mix and mixing.polar_mix are 0.7 and 0.5: .*together at most 1"),
        ("mixing.lazer_mix=0.7", "did you mean mixing.laser_mix?"),
        ("mixing.bank_scans=0", "mixing.bank_scans 0: expected"),
        ("epochs=null", "epochs and max_steps are null: give max_steps"),
        ("augmentation.intensity_of=1", "did you mean augmentation.intensity_off?"),
    ],
)
def test_mistakes_in_settings_say_what_is_expected(tmp_path, override, message):
    path = tmp_path / "train.yaml"
    path.write_text("dataset: d\noptimizer: {name: adam}\nmixing: {polar_mix: 0.5}\n")
    with pytest.raises(UserError, match=message):
        load_config(path, [override])


def test_missing_required_setting_is_named():
    with pytest.raises(UserError, match="config has no dataset, which is required"):
        load_config(None, ["batch_size=2"])


@pytest.mark.parametrize(
    ("text", "message"), [("a: [", "not valid YAML"), ("- 1", "holds a list"), (None, "there is no config file")]
)
def test_config_file_that_is_no_mapping_is_refused(tmp_path, text, message):
    path = tmp_path / "train.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=message):
        load_config(path)


def test_setting_without_effect_is_named():
    config = load_config(None, ["dataset=d", "schedule.name=constant", "schedule.final_factor=0.5"])
    assert settings_without_effect(config) == ["schedule.final_factor has no effect: schedule.name is constant"]
    assert settings_without_effect(TrainConfig("d")) == []
    config = load_config(None, ["dataset=d", "optimizer.name=sgd", "optimizer.betas=[0.5, 0.9]"])
    assert settings_without_effect(config) == ["optimizer.betas has no effect: optimizer.name is sgd"]


def test_an_architecture_takes_the_place_of_the_default_network():
    config = load_config(None, ["dataset=d", "model.architecture=spvcnn", "model.channel_ratio=5e-1"])
    assert config.model == {"architecture": "spvcnn", "channel_ratio": 0.5}
    with pytest.raises(UserError, match="leave one out"):
        load_config(None, ["dataset=d", "model.name=minkunet-0.5x", "model.architecture=spvcnn"])


@pytest.mark.parametrize("name", ["default", "cylinder3d-0.5x", "minkunet-0.5x", "cylinder3d"])
def test_model_null_is_the_network_of_the_initial_weights(name, project_root):
    config = load_config(
        project_root / "config/self_training.yaml",
        ["dataset=d", f"initial_weights={name}", f"distillation.teacher={name}"],
    )
    with torch.device("meta"):
        network = build_model(config.network)
    assert network.config == load_model(shipped_weights(name))[0].config


@pytest.mark.parametrize(
    ("overrides", "message"),
    [([], "give initial_weights, or"), (["initial_weights=default", "initial_widen=true"], "sliced or widened")],
)
def test_model_null_is_refused_without_weights_of_the_same_network(overrides, message):
    with pytest.raises(UserError, match=f"model is null, .*{message}"):
        load_config(None, ["dataset=d", "model=null", *overrides])


def test_settings_of_a_model_may_follow_its_name():
    overrides = ["dataset=d", "model=minkunet-0.25x", "model.grid.voxel_size=0.5"]
    assert load_config(None, overrides).model == {"name": "minkunet-0.25x", "grid": {"voxel_size": 0.5}}
    assert load_config(None, ["dataset=d", "model={width: 4}", "model.name=cylinder3d-1x"]).model["width"] == 4


def test_differing_settings_are_named_with_their_section():
    first = load_config(None, ["dataset=d"])
    second = load_config(None, ["dataset=d", "seed=4", "loss.lovasz=2", "model.width=4"])
    assert differing_keys(first, second) == ["loss.lovasz", "model.width", "seed"]


def test_every_settings_file_that_ships_is_valid(project_root):
    paths = sorted((project_root / "config").glob("train*.yaml"))
    assert len(paths) >= 3
    for path in paths:
        assert not settings_without_effect(load_config(path, ["dataset=d"]))


def test_recipes_with_and_without_a_teacher_differ_in_the_distillation_only(project_root):
    plain = load_config(project_root / "config/train.yaml", ["dataset=d"])
    distilling = load_config(project_root / "config/distill.yaml", ["dataset=d"])
    assert plain.distillation is None
    assert distilling.distillation is not None
    assert differing_keys(replace(distilling, distillation=None), plain) == []
