"""Schedule, class weights, running mean, objective, checkpoint files."""

import dataclasses
import itertools
import resource
import subprocess

import numpy as np
import pytest
import torch
from forked_calls import ForkedCall
from tiny_dataset import TINY_MODEL, write_dataset

from pvd_core.borders.errors import UserError
from pvd_core.losses import cross_entropy, lovasz_softmax
from pvd_core.models import build_model
from pvd_core.voxels import CylindricalGrid
from training.data.augment import AugmentationConfig
from training.data.batches import BatchStream
from training.data.class_weights import class_weights, count_classes
from training.data.dataset import ScanFolder
from training.data.folder_stream import FolderStream
from training.data.mix import MixingConfig
from training.run.checkpoint import load_checkpoint, random_states, restore_random_states, save_checkpoint
from training.run.config import SUPERVISED_TERMS, LossConfig, ScheduleConfig
from training.run.objective import SegmentationObjective
from training.run.optimization import RunningMean, learning_rate
from training.run.run_folder import JsonLines


def test_cosine_schedule_warms_up_reaches_the_full_rate_and_ends_at_its_final_share():
    schedule = ScheduleConfig("cosine", warmup_steps=10, final_factor=0.1)
    rates = [learning_rate(step, 100, 2.0, schedule) for step in range(100)]
    assert 0 < rates[0] < 0.3
    assert all(a < b for a, b in itertools.pairwise(rates[:11]))
    assert rates[10] == max(rates) == 2.0
    assert all(a > b for a, b in itertools.pairwise(rates[10:]))
    assert rates[-1] == pytest.approx(0.2)
    assert rates[10 + 89 // 2] == pytest.approx((2.0 + 0.2) / 2, rel=0.03)


def test_constant_schedule_stays_after_the_warm_up():
    schedule = ScheduleConfig("constant", warmup_steps=2)
    assert [learning_rate(step, 5, 3.0, schedule) for step in range(5)] == [1.0, 2.0, 3.0, 3.0, 3.0]


@pytest.mark.parametrize("num_steps", [1, 2, 5])
def test_run_shorter_than_its_warm_up_has_positive_rates(num_steps):
    assert all(learning_rate(step, num_steps, 1.0, ScheduleConfig()) > 0 for step in range(num_steps))


def test_class_weights_are_roots_of_the_frequency_ratio():
    counts = np.zeros(20, np.int64)
    counts[[0, 1, 9, 15]] = 10**9, 1000, 8000, 125
    for preset, power in (("sqrt", 1 / 2), ("cuberoot", 1 / 3)):
        weights = class_weights(counts, preset)
        assert weights[[1, 9, 15]].tolist() == pytest.approx([8**power, 1, 64**power], rel=1e-6)
        assert weights[[0, 2, 19]].tolist() == [1, 1, 1]


def test_classes_are_counted_over_all_given_scans(tmp_path):
    folder = ScanFolder(write_dataset(tmp_path, {"00": 3}), "train")
    counts = count_classes(folder, [0, 2])
    assert counts[[9, 13, 1]].tolist() == [2000, 1200, 800]
    assert counts.sum() == 4000


def test_running_mean_of_constant_weights_is_those_weights_and_follows_a_change():
    module = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    mean = RunningMean(module, decay=0.5)
    with torch.no_grad():
        module[0].weight.fill_(1.0)
    module[1].num_batches_tracked += 3
    for _ in range(40):
        mean.update(module)
    assert torch.allclose(mean.state["0.weight"], torch.ones(2, 2), atol=1e-6)
    assert mean.state["1.num_batches_tracked"] == 3
    assert mean.state["0.weight"].data_ptr() != module[0].weight.data_ptr()


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    folder = ScanFolder(write_dataset(tmp_path_factory.mktemp("data"), {"00": 2}), "train")
    grid = CylindricalGrid(TINY_MODEL["grid"]["shape"])
    return BatchStream(FolderStream(folder, [0, 1], 0), 2, 0, AugmentationConfig(), MixingConfig(), grid, "cpu").batch(
        0
    )


def test_objective_gives_each_term_times_its_factor(batch):
    torch.manual_seed(0)
    model = build_model(TINY_MODEL).eval()
    weights = torch.rand(20) + 0.5
    terms = SegmentationObjective(model, LossConfig(0.5, 2.0, 3.0, "sqrt"), weights)(batch)
    output = model(batch.voxels)
    logits = output.voxel_logits_VC
    assert terms["cross_entropy"].item() == (0.5 * cross_entropy(logits, batch.voxel_labels_V, weights)).item()
    assert terms["lovasz"].item() == (2.0 * lovasz_softmax(logits.softmax(1), batch.voxel_labels_V)).item()
    expected = 3.0 * cross_entropy(output.point_logits_PC, batch.point_labels_P, weights)
    assert terms["point_cross_entropy"].item() == expected.item()


def test_objective_leaves_out_terms_of_factor_zero_and_points_of_a_network_without_them(batch):
    model = build_model({**TINY_MODEL, "refinement": "none"})
    assert set(SegmentationObjective(model, LossConfig())(batch)) == {"cross_entropy", "lovasz"}
    model = build_model(TINY_MODEL)
    assert set(SegmentationObjective(model, LossConfig(0, 0, 1))(batch)) == {"point_cross_entropy"}


def test_every_factor_of_the_loss_has_a_term_that_is_trained_alone_and_reported_as_supervised(batch):
    factors = {field.name for field in dataclasses.fields(LossConfig)} - {"class_weights"}
    assert factors == set(SUPERVISED_TERMS)
    model = build_model(TINY_MODEL).eval()
    assert list(SegmentationObjective(model, LossConfig(**dict.fromkeys(factors, 1.0)))(batch)) == list(
        SUPERVISED_TERMS
    )
    for term, scored in SUPERVISED_TERMS.items():
        alone = LossConfig(**{**dict.fromkeys(factors, 0.0), term: 2.0})
        assert alone.scored == {scored}
        assert list(SegmentationObjective(model, alone)(batch)) == [term]
        with pytest.raises(UserError, match=f"loss.{term} is -1"):
            LossConfig(**{term: -1.0})
    with pytest.raises(UserError, match="every factor in 'loss' is 0"):
        LossConfig(**dict.fromkeys(factors, 0.0))


def test_checkpoint_keeps_values_and_random_states(tmp_path):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"step": 7, "tensor": torch.arange(3), "random": random_states()})
    expected = np.random.random(), torch.rand(3).tolist()
    state = load_checkpoint(path)
    restore_random_states(state["random"])
    assert (np.random.random(), torch.rand(3).tolist()) == expected
    assert (state["step"], state["tensor"].tolist()) == (7, [0, 1, 2])
    assert [entry.name for entry in tmp_path.iterdir()] == ["checkpoint.pt"]


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_checkpoint_that_cannot_be_read_is_refused(tmp_path, content):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"tensor": torch.zeros(1000)})
    path.write_bytes(path.read_bytes()[:2000] if content is None else content)
    with pytest.raises(UserError, match=r"checkpoint\.pt is damaged.*initial_weights=RUN/last"):
        load_checkpoint(path)


def test_checkpoint_that_would_run_code_is_refused(tmp_path):
    path = tmp_path / "checkpoint.pt"
    torch.save({"format": 1, "object": subprocess.Popen}, path)
    with pytest.raises(UserError, match="is damaged, or no checkpoint"):
        load_checkpoint(path)


def write_without_space(path):
    save_checkpoint(path, {"step": 1, "tensor": torch.zeros(10)})
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
    save_checkpoint(path, {"step": 2, "tensor": torch.zeros(100_000)})


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no limit on file sizes on this system")
def test_checkpoint_that_does_not_fit_on_the_disk_leaves_the_last_one(tmp_path):
    # A limit on the size of files stands for the full disk: the same write fails half-way.
    path = tmp_path / "checkpoint.pt"
    code, output = ForkedCall(write_without_space, path).wait()
    assert code == 1
    assert "UserError: cannot write" in output
    assert load_checkpoint(path)["step"] == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_log_drops_lines_after_the_checkpoint_and_half_a_line(tmp_path):
    path = tmp_path / "losses.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st')
    log = JsonLines(path, last_step=2)
    log.write(step=3, loss=0.5)
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n{"step": 3, "loss": 0.5}\n'
    log.close()
