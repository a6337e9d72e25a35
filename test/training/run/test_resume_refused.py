"""What `--resume` says of runs that cannot go on: in our words, with what to do."""

import json

import pytest
import torch
import yaml
from tiny_dataset import TINY_MODEL, write_dataset

from pvd_cli.main import run
from training.run.config import load_config
from training.run.loop import train

_TORCHS_WORDS = ("state_dict", "weights_only", "PytorchStreamReader", "unpickl", "pickle", "size mismatch", "Traceback")


@pytest.fixture(scope="module")
def started(tmp_path_factory, without_curves):
    """The folder of a run that was stopped before its first step."""
    data = write_dataset(tmp_path_factory.mktemp("data"), {"00": 2, "08": 1})
    base = [f"dataset={data}", f"model={json.dumps(TINY_MODEL)}", "num_threads=1", "max_steps=3", "max_minutes=1e-6"]
    folder = tmp_path_factory.mktemp("runs") / "run"
    train(load_config(None, base), folder)
    return folder


@pytest.fixture
def run_dir(started, tmp_path):
    for name in ("config.yaml", "checkpoint.pt"):
        (tmp_path / name).write_bytes((started / name).read_bytes())
    return tmp_path


def refusal(run_dir, capsys):
    assert run(["train", "--resume", str(run_dir)]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1
    assert not [word for word in _TORCHS_WORDS if word in lines[0]]
    return lines[0]


def changed(path, change):
    values = yaml.safe_load(path.read_text())
    change(values)
    path.write_text(yaml.safe_dump(values))


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda values: values.update(model="cylinder3d-compact"), "model.name"),
        (lambda values: values["model"].update(width=8), "model.width"),
        (lambda values: values["optimizer"].update(learning_rate=0.5), "optimizer.learning_rate"),
        (lambda values: values.update(seed=7), "seed"),
    ],
)
def test_settings_changed_in_the_run_folder_are_named(run_dir, capsys, change, name):
    changed(run_dir / "config.yaml", change)
    message = refusal(run_dir, capsys)
    assert "config.yaml was changed since this run started" in message
    assert name in message
    assert "put them back" in message


def test_settings_that_may_change_do_not_stop_a_run(run_dir):
    changed(run_dir / "config.yaml", lambda values: values.update(max_minutes=None, checkpoint_every_steps=2))
    assert run(["train", "--resume", str(run_dir)]) == 0


def test_settings_that_are_newer_than_a_checkpoint_do_not_stop_a_run(run_dir):
    state = torch.load(run_dir / "checkpoint.pt", weights_only=True)
    del state["settings"]["scans"]["time"], state["settings"]["ema_decay"]
    torch.save(state, run_dir / "checkpoint.pt")
    assert run(["train", "--resume", str(run_dir)]) == 0


def test_network_of_a_checkpoint_without_settings_is_compared_all_the_same(run_dir, capsys):
    """Checkpoints of earlier versions do not hold the settings."""
    state = torch.load(run_dir / "checkpoint.pt", weights_only=True)
    del state["settings"]
    torch.save(state, run_dir / "checkpoint.pt")
    changed(run_dir / "config.yaml", lambda values: values["model"].update(width=8))
    assert "does not fit the network, optimizer and method" in refusal(run_dir, capsys)


@pytest.mark.parametrize("size", [0, 1, 100, 5000, -1, -2000])
def test_checkpoint_that_was_cut_short_is_said_to_be_damaged(run_dir, capsys, size):
    content = (run_dir / "checkpoint.pt").read_bytes()
    (run_dir / "checkpoint.pt").write_bytes(content[:size])
    message = refusal(run_dir, capsys)
    assert "checkpoint.pt is damaged" in message
    assert "initial_weights=" in message


@pytest.mark.parametrize("key", ["model", "optimizer", "random", "step", "data_fingerprint"])
@pytest.mark.parametrize(
    "damage", [lambda state, key: state.pop(key), lambda state, key: state.update({key: "nonsense"})]
)
def test_checkpoint_with_a_part_missing_or_spoilt_is_refused(run_dir, capsys, key, damage):
    state = torch.load(run_dir / "checkpoint.pt", weights_only=True)
    damage(state, key)
    torch.save(state, run_dir / "checkpoint.pt")
    assert "checkpoint" in refusal(run_dir, capsys)
