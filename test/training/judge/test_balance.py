"""Balancing of classes: shifts of the scores, found on scores that are known, and in weights that are used."""

import numpy as np
import pytest
import torch
from tiny_dataset import TINY_MODEL, write_dataset

from pvd_cli.main import run
from pvd_core.borders.errors import UserError
from pvd_core.models import build_model
from pvd_core.segmenter import Segmenter
from pvd_core.taxonomy import SEMANTICKITTI
from pvd_core.weights import load_model, save_weights
from training.data.dataset import ScanFolder
from training.judge.balance import balance_classes, best_shift
from training.judge.metrics import ConfusionMatrix

_PRESENT = (1, 2, 9, 15)


def _scores(seed=0, num_points=4000):
    """Noisy scores (N, C) of points whose classes are unevenly frequent, and their truth."""
    generator = np.random.default_rng(seed)
    truth_N = generator.choice(_PRESENT, num_points, p=(0.02, 0.08, 0.6, 0.3)).astype(np.uint8)
    scores_NC = generator.normal(0, 1, (num_points, SEMANTICKITTI.num_classes)).astype(np.float32)
    scores_NC[np.arange(num_points), truth_N] += 3
    return scores_NC, truth_N


def _miou(scores_NC, truth_N):
    matrix = ConfusionMatrix(SEMANTICKITTI)
    matrix.update(1 + scores_NC[:, 1:].argmax(axis=1), truth_N)
    return matrix.miou(present_only=True)


def test_takes_back_what_was_added_to_a_class():
    scores_NC, truth_N = _scores()
    spoilt_NC = scores_NC.copy()
    spoilt_NC[:, 2] += 2.5
    spoilt_NC[:, 9] -= 1.5
    balance = best_shift(spoilt_NC, truth_N, SEMANTICKITTI)
    assert balance.miou_before == pytest.approx(_miou(spoilt_NC, truth_N))
    assert balance.miou_after == pytest.approx(_miou(spoilt_NC + balance.shift_C, truth_N))
    assert balance.miou_after > balance.miou_before + 0.2
    assert balance.miou_after >= best_shift(scores_NC, truth_N, SEMANTICKITTI).miou_before
    assert balance.shift_C[2] - balance.shift_C[9] == pytest.approx(-4, abs=1)


def test_carries_to_other_points():
    scores_NC, truth_N = _scores(seed=1)
    others_NC, truth_of_others_N = _scores(seed=2)
    shift_C = best_shift(scores_NC, truth_N, SEMANTICKITTI).shift_C
    assert _miou(others_NC + shift_C, truth_of_others_N) > _miou(others_NC, truth_of_others_N) + 0.02


def test_never_turns_to_the_ignored_class_and_skips_points_without_label():
    scores_NC, truth_N = _scores()
    scores_NC[:, 0] = 100
    unlabelled_NC = np.zeros((500, SEMANTICKITTI.num_classes), np.float32)
    unlabelled_NC[:, 5] = 50
    with_unlabelled = best_shift(
        np.concatenate((scores_NC, unlabelled_NC)), np.concatenate((truth_N, np.zeros(500, np.uint8))), SEMANTICKITTI
    )
    alone = best_shift(scores_NC, truth_N, SEMANTICKITTI)
    assert with_unlabelled.shift_C[0] == 0
    np.testing.assert_array_equal(with_unlabelled.shift_C, alone.shift_C)
    assert with_unlabelled.miou_before == alone.miou_before > 0.3


def test_leaves_perfect_scores_alone():
    truth_N = np.repeat(np.uint8(_PRESENT), 50)
    balance = best_shift(10 * np.eye(SEMANTICKITTI.num_classes, dtype=np.float32)[truth_N], truth_N, SEMANTICKITTI)
    assert balance.miou_before == balance.miou_after == 1
    assert not balance.shift_C.any()


@pytest.mark.parametrize("refinement", ["R3", "R1", "none"])
def test_labels_of_the_balanced_network_score_what_was_promised(tmp_path, refinement):
    torch.manual_seed(0)
    folder = ScanFolder(write_dataset(tmp_path, {"00": 3}), ["00"])
    segmenter = Segmenter(build_model({**TINY_MODEL, "refinement": refinement}))
    balance = balance_classes(segmenter, folder)
    assert balance.shift_C.any()
    matrix = ConfusionMatrix(SEMANTICKITTI)
    for index in range(len(folder)):
        points, truth = folder.labelled_points(index)
        matrix.update(segmenter.segment(points).labels, truth)
    # Scores were kept with 11 bits.
    assert matrix.miou(present_only=True) == pytest.approx(balance.miou_after, abs=2e-3)
    assert balance.miou_after > balance.miou_before


def test_refuses_scans_without_labels(tmp_path):
    root = write_dataset(tmp_path, {"00": 1})
    labels = next((root / "sequences" / "00" / "labels").iterdir())
    labels.write_bytes(bytes(labels.stat().st_size))
    with pytest.raises(UserError, match="no labelled point"):
        balance_classes(Segmenter(build_model(TINY_MODEL)), ScanFolder(root, ["00"]))


def test_command_writes_weights_with_their_facts(tmp_path, capsys):
    root = write_dataset(tmp_path / "data", {"00": 2})
    weights, balanced = tmp_path / "w.safetensors", tmp_path / "balanced.safetensors"
    save_weights(weights, build_model(TINY_MODEL), {"commit": "abc"})
    assert run(["balance", str(root), "--weights", str(weights), "--out", str(balanced), "--split", "00"]) == 0
    assert "wrote" in capsys.readouterr().out
    before, _ = load_model(weights)
    after, facts = load_model(balanced)
    shift_C = (after.label_layer.bias - before.label_layer.bias).detach().numpy()
    assert facts["commit"] == "abc"
    assert facts["balance"]["sequences"] == ["00"]
    assert sorted(facts["balance"]["shifts"].values()) == pytest.approx(sorted(shift_C[shift_C != 0]), abs=1e-5)
    changed = {name for name, tensor in after.state_dict().items() if (tensor != before.state_dict()[name]).any()}
    assert changed == {"refinement.out.bias"}


@pytest.mark.parametrize(("out", "message"), [("w.safetensors", "exists already"), ("w.pt", "name a .safetensors")])
def test_command_refuses_an_output_that_exists_or_is_no_weights_file(tmp_path, capsys, out, message):
    weights = tmp_path / "w.safetensors"
    save_weights(weights, build_model(TINY_MODEL))
    assert run(["balance", str(tmp_path), "--weights", str(weights), "--out", str(tmp_path / out)]) == 2
    assert message in capsys.readouterr().err
