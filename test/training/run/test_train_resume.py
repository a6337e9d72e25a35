"""A run killed with SIGKILL and resumed gives the losses of an unbroken run, bit for bit."""

import json
import signal

import pytest
from tiny_dataset import TINY_MODEL, write_dataset
from training_runs import finish, kill_after_step, num_lines, results, start

_NUM_STEPS = 12


@pytest.fixture(scope="module")
def overrides(tmp_path_factory):
    dataset = write_dataset(tmp_path_factory.mktemp("drive"), {"00": 5, "08": 1})
    return [
        f"dataset={dataset}",
        f"model={json.dumps(TINY_MODEL)}",
        f"max_steps={_NUM_STEPS}",
        "num_threads=1",
        "num_workers=1",
        "ema_decay=0.9",
        "accumulate=2",
        "checkpoint_every_steps=3",
        "validation.every_steps=5",
        "augmentation.drop_points=0.2",
        "mixing.laser_mix=0.3",
        "mixing.polar_mix=0.3",
        "mixing.paste_objects=2",
    ]


@pytest.fixture(scope="module")
def unbroken(overrides, tmp_path_factory, project_root):
    run_dir = tmp_path_factory.mktemp("runs") / "unbroken"
    finish(start(run_dir, overrides, project_root))
    return run_dir


def test_run_killed_again_and_again_gives_the_same_losses(overrides, unbroken, tmp_path, project_root):
    run_dir = tmp_path / "killed"
    process = start(run_dir, overrides, project_root)
    # Before the first step; right after a validation that no checkpoint has seen; between two checkpoints.
    process.wait_until((run_dir / "config.yaml").exists)
    process.kill()
    for step in (6, 8):
        kill_after_step(step, run_dir, overrides, project_root, resume=True)
    finish(start(run_dir, overrides, project_root, resume=True))
    losses, validations = results(run_dir)
    assert [line["step"] for line in losses] == list(range(1, _NUM_STEPS + 1))
    assert (losses, validations) == results(unbroken)
    for name in ("last.safetensors", "best.safetensors"):
        assert _tensors(run_dir / name) == _tensors(unbroken / name)


@pytest.mark.slow
def test_interrupted_run_stops_with_its_state_and_goes_on_the_same(overrides, unbroken, tmp_path, project_root):
    run_dir = tmp_path / "interrupted"
    finish(start(run_dir, overrides, project_root, signal_at=(3, signal.SIGINT)), "interrupted")
    assert num_lines(run_dir / "losses.jsonl") == 3
    finish(start(run_dir, overrides, project_root, resume=True))
    assert results(run_dir) == results(unbroken)


def _tensors(path):
    """The bytes of a safetensors file after its header, which names the commit and so may differ."""
    content = path.read_bytes()
    return content[8 + int.from_bytes(content[:8], "little") :]
