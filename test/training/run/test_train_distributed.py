"""Two processes that share each batch give the losses of one. Real ranks over gloo, started by torchrun in slow tests,
with what it puts into their environment in quick ones."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from forked_calls import ForkedCall
from tiny_dataset import TINY_MODEL, write_dataset
from training_runs import finish, results, start

from pvd_cli.__main__ import main
from pvd_core.borders.errors import UserError
from pvd_core.losses.methods import METHODS
from pvd_core.models import build_model
from pvd_core.models.norm import Norm
from pvd_core.taxonomy import SEMANTICKITTI
from pvd_core.weights import save_weights
from training.data.batches import Share
from training.data.dataset import ScanFolder
from training.data.instances.cut import cut_instances
from training.run.config import TrainConfig, config_as_dict, load_config
from training.run.distributed import launched_fabric

_NUM_STEPS = 10
_DEADLINE_S = 240


def torchrun(*arguments, project_root):
    """Two processes of `python ARGUMENTS`."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(project_root)}
    return subprocess.Popen(
        command, cwd=project_root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finished(process):
    """Exit code, output and errors of torchrun."""
    try:
        output, errors = process.communicate(timeout=_DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.terminate()
        raise
    return process.returncode, output, errors


def train_on_two(run_dir, overrides, project_root, *, resume=False):
    where = ["--resume", run_dir] if resume else ["--config", config_file(run_dir, overrides), "--out", run_dir]
    return torchrun("-m", "pvd_cli", "train", *where, project_root=project_root)


def config_file(run_dir, overrides):
    path = run_dir.with_suffix(".yaml")
    path.write_text(yaml.safe_dump(config_as_dict(load_config(None, overrides))))
    return path


def train_on_two_forked(run_dir, overrides):
    """As `train_on_two`, by processes that have imported torch before."""
    with socket.socket() as chosen:
        chosen.bind(("localhost", 0))
        port = chosen.getsockname()[1]
    words = ["train", "--config", str(config_file(run_dir, overrides)), "--out", str(run_dir)]
    for code, output in [call.wait() for call in [ForkedCall(train_on_a_rank, rank, port, words) for rank in range(2)]]:
        assert code == 0, output


def train_on_a_rank(rank, port, words):
    meeting = {"MASTER_ADDR": "localhost", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "test", "GROUP_RANK": 0}
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
    os.environ.update({name: str(value) for name, value in (meeting | numbers).items()})
    sys.argv = ["pvd", *words]
    main()


def norm_on_a_rank(rank, folder):
    torch.distributed.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=2)
    inputs = torch.load(folder / "inputs.pt")
    found = []
    for split in inputs["splits"]:
        norm = Norm(inputs["rows"].shape[1])
        norm.load_state_dict(inputs["state"])
        own = slice(0, split) if rank == 0 else slice(split, None)
        rows = inputs["rows"][own].clone().requires_grad_()
        result = norm(rows)
        result.backward(inputs["direction"][own])
        gradients = rows.grad, norm.weight.grad, norm.bias.grad
        found.append((result.detach(), *gradients, norm.state_dict()))
    torch.save(found, folder / f"rank{rank}")
    # Threads of gloo that still run at the end of Python abort the process now and then.
    torch.distributed.destroy_process_group()


def test_norm_of_two_ranks_is_batch_norm_of_all_rows(tmp_path):
    torch.manual_seed(0)
    # Far from 0, where a difference of large squares would lose the variance.
    rows = (100 + 2 * torch.randn(20, 5)).requires_grad_()
    direction = torch.randn(20, 5)
    expected = torch.nn.BatchNorm1d(5)
    torch.nn.init.normal_(expected.weight)
    torch.nn.init.normal_(expected.bias)
    # The last: a rank without a row.
    splits = [7, 1, 0]
    given = {"rows": rows.detach(), "direction": direction, "splits": splits, "state": expected.state_dict()}
    torch.save(given, tmp_path / "inputs.pt")
    for ended in [call.wait() for call in [ForkedCall(norm_on_a_rank, rank, tmp_path) for rank in range(2)]]:
        assert ended[0] == 0, ended[1]
    result = expected(rows)
    result.backward(direction)
    close = {"rtol": 1e-4, "atol": 1e-4}
    for first, second in zip(*(torch.load(tmp_path / f"rank{rank}") for rank in range(2)), strict=True):
        torch.testing.assert_close(torch.cat((first[0], second[0])), result, **close)
        torch.testing.assert_close(torch.cat((first[1], second[1])), rows.grad, **close)
        torch.testing.assert_close(first[2] + second[2], expected.weight.grad, **close)
        torch.testing.assert_close(first[3] + second[3], expected.bias.grad, **close)
        for state in (first[4], second[4]):
            torch.testing.assert_close(dict(state), dict(expected.state_dict()), rtol=1e-5, atol=1e-6)


def test_norm_of_one_process_is_batch_norm_to_the_bit():
    rows = torch.randn(9, 3)
    assert torch.equal(Norm(3)(rows), torch.nn.BatchNorm1d(3)(rows))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Two of the scans have no label: a rank gets batches with nothing to learn from."""
    root = write_dataset(tmp_path_factory.mktemp("drive"), {"00": 5, "08": 1})
    for frame in (3, 4):
        path = root / "sequences" / "00" / "labels" / f"{frame:06d}.label"
        path.write_bytes(bytes(path.stat().st_size))
    return root


@pytest.fixture(scope="module")
def teacher_path(tmp_path_factory):
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("weights") / "teacher.safetensors"
    save_weights(path, build_model({**TINY_MODEL, "width": 6}))
    return path


@pytest.fixture(scope="module")
def settings(dataset):
    return [
        f"dataset={dataset}",
        f"model={json.dumps(TINY_MODEL)}",
        f"max_steps={_NUM_STEPS}",
        "num_threads=1",
        "accumulate=2",
        "checkpoint_every_steps=4",
        "validation.every_steps=8",
        "loss.class_weights=sqrt",
        "mixing.laser_mix=0.3",
        "optimizer.gradient_clip=0.5",
        # In float32 the order of a sum decides the slope of a value at the kink of leaky ReLU: nothing could be told
        # from differences below 1e-3.
        "precision=fp64",
        "optimizer.learning_rate=1e-4",
        "schedule.warmup_steps=0",
    ]


def losses(run_dir):
    """{step: {name: value}} of a run, without the clock."""
    return {line["step"]: line for line in results(run_dir)[0]}


def assert_same_losses(run_dir, expected_dir, num_steps=_NUM_STEPS):
    found, expected = losses(run_dir), losses(expected_dir)
    assert list(found) == list(expected) == list(range(1, num_steps + 1))
    # The norms of the gradients are among the values.
    for step, line in expected.items():
        assert found[step] == pytest.approx(line, abs=1e-9, rel=1e-9), f"step {step}"


@pytest.fixture(scope="module")
def two_ranks(settings, tmp_path_factory, project_root):
    run_dir = tmp_path_factory.mktemp("runs") / "two"
    code, output, errors = finished(train_on_two(run_dir, settings, project_root))
    assert code == 0, errors
    assert output.count(f"done after {_NUM_STEPS} steps") == 1
    return run_dir


@pytest.fixture(scope="module")
def one_process(settings, tmp_path_factory, project_root):
    run_dir = tmp_path_factory.mktemp("runs") / "one"
    finish(start(run_dir, settings, project_root))
    return run_dir


# Each distillation below has the supervised terms as well.
@pytest.mark.slow
def test_two_processes_give_the_losses_of_one(two_ranks, one_process):
    assert_same_losses(two_ranks, one_process)
    assert {"cross_entropy", "lovasz", "point_cross_entropy", "gradient_norm"} <= set(losses(two_ranks)[1])


SMALL = {
    "pvd": {"supervoxel_size": [6, 6, 4], "num_points": 32, "num_voxels": 16},
    "ka": {"autoencoder_steps": 3, "num_affinity_voxels": 64},
    "skd": {"node_size": [6, 6, 4]},
}


def distilling(method, teacher_path):
    return [
        f"distillation.teacher={teacher_path}",
        f"distillation.method={method}",
        "max_steps=4",
        "log_gradients_every_steps=2",
        f"distillation.settings={json.dumps(SMALL.get(method, {}))}",
    ]


def check_distillation(two, one, overrides, project_root):
    """That it gave the losses of one process."""
    finish(start(one, overrides, project_root))
    assert_same_losses(two, one, num_steps=4)
    assert set(losses(one)[1]) > {"cross_entropy", "lovasz", "point_cross_entropy"}
    assert any(name.startswith("gradient_share_") for name in losses(one)[2])


def test_two_processes_distil_to_the_losses_of_one(settings, teacher_path, tmp_path, project_root):
    overrides = settings + distilling("pvd", teacher_path)
    train_on_two_forked(tmp_path / "two", overrides)
    check_distillation(tmp_path / "two", tmp_path / "one", overrides, project_root)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_two_processes_of_torchrun_distil_to_the_losses_of_one(method, settings, teacher_path, tmp_path, project_root):
    overrides = settings + distilling(method, teacher_path)
    code, _, errors = finished(train_on_two(tmp_path / "two", overrides, project_root))
    assert code == 0, errors
    check_distillation(tmp_path / "two", tmp_path / "one", overrides, project_root)


@pytest.mark.slow
def test_two_processes_go_on_without_a_teacher_that_stops(settings, teacher_path, tmp_path, project_root):
    overrides = [*settings, *distilling("ka", teacher_path), "distillation.until_step=2"]
    code, _, errors = finished(train_on_two(tmp_path / "two", overrides, project_root))
    assert code == 0, errors
    check_distillation(tmp_path / "two", tmp_path / "one", overrides, project_root)
    assert ["ka_autoencoder" in line for line in losses(tmp_path / "two").values()] == [True, True, False, False]


@pytest.mark.slow
def test_two_processes_learn_from_enriched_scans_to_the_losses_of_one(settings, dataset, tmp_path, project_root):
    cut_instances(ScanFolder(dataset, "00"), tmp_path / "cut", (SEMANTICKITTI.id_of("car"),))
    loss = {"hard_classes": ["car"], "instance_affinity": 1.0, "feature": 1.0, "num_affinity_rows": 40}
    more = [
        f"multi_to_single.instances={tmp_path / 'cut'}",
        f"multi_to_single.loss={json.dumps(loss)}",
        "max_steps=4",
        "mixing.laser_mix=0",
    ]
    code, _, errors = finished(train_on_two(tmp_path / "two", settings + more, project_root))
    assert code == 0, errors
    finish(start(tmp_path / "one", settings + more, project_root))
    assert_same_losses(tmp_path / "two", tmp_path / "one", num_steps=4)
    lines = losses(tmp_path / "one").values()
    for name in ("changed", "logit", "feature", "class_affinity", "instance_affinity"):
        assert max(line[f"m2s_{name}"] for line in lines) > 0, name


def wait_for_step(process, run_dir, step):
    deadline, path = time.monotonic() + _DEADLINE_S, run_dir / "losses.jsonl"
    while not path.exists() or path.read_text().count("\n") < step:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.005)


def kill_all(process):
    """SIGKILL to torchrun and the ranks, each of which has a session of its own."""
    ranks = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(ranks) == 2
    for number in (process.pid, *map(int, ranks)):
        os.kill(number, signal.SIGKILL)
    process.communicate()


@pytest.mark.slow
def test_killed_ranks_go_on_to_the_same_losses(settings, two_ranks, tmp_path, project_root):
    run_dir = tmp_path / "killed"
    process = train_on_two(run_dir, settings, project_root)
    wait_for_step(process, run_dir, 5)
    kill_all(process)
    code, _, errors = finished(train_on_two(run_dir, settings, project_root, resume=True))
    assert code == 0, errors
    assert results(run_dir) == results(two_ranks)


@pytest.mark.slow
def test_interrupted_ranks_stop_together_and_one_process_goes_on(settings, one_process, tmp_path, project_root):
    run_dir = tmp_path / "interrupted"
    process = train_on_two(run_dir, settings, project_root)
    wait_for_step(process, run_dir, 2)
    process.send_signal(signal.SIGINT)
    code, output, errors = finished(process)
    assert code != 0
    assert output.count("interrupted after") == 1, errors
    assert len(losses(run_dir)) < _NUM_STEPS
    finish(start(run_dir, settings, project_root, resume=True))
    assert_same_losses(run_dir, one_process)


@pytest.mark.slow
def test_all_ranks_end_where_a_loss_diverges_or_the_folder_is_taken(settings, two_ranks, tmp_path, project_root):
    diverging = [*settings, "optimizer.learning_rate=1e30", "schedule.warmup_steps=0", "optimizer.gradient_clip=0"]
    for run_dir, overrides, message in (
        (tmp_path / "diverged", diverging, "the run stops and"),
        (two_ranks, settings, "is not empty"),
    ):
        code, _, errors = finished(train_on_two(run_dir, overrides, project_root))
        assert code != 0
        assert message in errors
        # None of the ranks is left waiting for another, which ends in an error of the network.
        assert "RuntimeError" not in errors


def test_batch_that_cannot_be_shared_out_evenly_is_refused(monkeypatch):
    for name, value in (("TORCHELASTIC_RUN_ID", "x"), ("WORLD_SIZE", "2"), ("LOCAL_WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match="batch_size is 3, for 2 processes"):
        launched_fabric(TrainConfig("data", batch_size=3))


def test_shares_of_all_ranks_are_the_batch_in_its_order():
    positions = range(12, 18)
    shares = [Share(rank, 3).of(positions) for rank in range(3)]
    assert [position for share in shares for position in share] == list(positions)
