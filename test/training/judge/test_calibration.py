"""Confidences against the truth: the error of many made-up points, the temperature that was put into scores, and `pvd
calibrate` and `pvd evaluate` on weights."""

import json
from itertools import pairwise
from unittest import mock

import numpy as np
import pytest
import torch
from tiny_dataset import TINY_MODEL, random_scan, write_dataset, write_scan

from pvd_cli.main import run
from pvd_core.borders.errors import UserError
from pvd_core.models import build_model
from pvd_core.segmenter import Segmenter
from pvd_core.taxonomy import SEMANTICKITTI
from pvd_core.weights import load_model, read_facts, save_weights
from training.data.dataset import ScanFolder
from training.judge.calibration import best_temperature, calibrate, calibration_error
from training.judge.reliability import NUM_BINS, Reliability
from training.run.config import load_config
from training.run.loop import train


def scores_and_truth(temperature=1.0, num_points=20_000, seed=0):
    """Scores (N, 20) whose softmax, once they are divided by the temperature, is the probability of the truth (N,)."""
    generator = np.random.default_rng(seed)
    scores = generator.normal(0, 2, (num_points, 20))
    scores[:, 0] = 50  # the class that is never predicted
    powers = np.exp(scores[:, 1:])
    below = np.cumsum(powers / powers.sum(axis=1, keepdims=True), axis=1)
    truth = 1 + (below < generator.random((num_points, 1))).sum(axis=1).clip(max=18)
    return (scores * temperature).astype(np.float32), truth.astype(np.uint8)


def error_by_definition(confidence, labels, truth):
    total, counted = 0.0, (labels > 0) & (truth > 0)
    for low, high in pairwise(np.linspace(0, 1, NUM_BINS + 1)):
        inside = counted & (confidence >= low) & ((confidence < high) | (high == 1))
        if inside.any():
            gap = abs((labels == truth)[inside].mean() - confidence[inside].mean())
            total += gap * inside.sum() / counted.sum()
    return total


def test_calibration_error_is_that_of_its_definition():
    generator = np.random.default_rng(0)
    scans = [(generator.random(500, np.float32), *generator.integers(0, 4, (2, 500))) for _ in range(3)]
    scans[0][0][:20] = 1
    reliability = Reliability()
    for scan in scans:
        reliability.update(*scan)
    together = [np.concatenate(parts) for parts in zip(*scans, strict=True)]
    assert reliability.error() == pytest.approx(error_by_definition(*together), abs=1e-6)
    found = json.loads(json.dumps(reliability.as_dict()))
    assert sum(each["points"] for each in found["bins"]) == ((together[1] > 0) & (together[2] > 0)).sum()
    assert found["right"] == pytest.approx(1 / 3, abs=0.05)
    assert Reliability().as_dict() == {"ece": 0, "mean_confidence": 0, "right": 0, "bins": []}


@pytest.mark.parametrize("temperature", [0.3, 1.0, 1.37, 6.0])
def test_the_temperature_that_scores_were_multiplied_by_is_found(temperature):
    scores, truth = scores_and_truth(temperature)
    found = best_temperature(scores, truth)
    assert found == pytest.approx(temperature, rel=0.03)
    assert found == best_temperature(scores, truth)
    assert calibration_error(scores, truth, found) < 0.02
    if temperature != 1:
        assert calibration_error(scores, truth) > 0.05


def test_the_temperature_carries_to_other_points_and_is_least_in_likelihood():
    scores, truth = scores_and_truth(2.0)
    found = best_temperature(scores, truth)

    def loss(temperature):
        return torch.nn.functional.cross_entropy(
            torch.from_numpy(scores[:, 1:]).double() / temperature, torch.from_numpy(truth).long() - 1
        )

    assert loss(found) < min(loss(found * 1.01), loss(found / 1.01))
    assert calibration_error(*scores_and_truth(2.0, seed=1), found) < 0.02


def test_labels_that_are_all_right_or_all_wrong_have_no_temperature():
    truth = np.repeat(np.uint8((1, 2, 9)), 50)
    right = np.eye(20, dtype=np.float32)[truth]
    with pytest.raises(UserError, match="every label is right"):
        best_temperature(right, truth)
    with pytest.raises(UserError, match="as good as guessed"):
        best_temperature(-right, truth)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data") / "tiny", {"00": 2, "08": 4})


@pytest.fixture(scope="module")
def weights(tmp_path_factory, dataset):
    """Of a network whose scores say something, but far too loudly."""
    torch.manual_seed(0)
    model = build_model({**TINY_MODEL, "refinement": "none"}).eval()
    folder = ScanFolder(dataset, "valid")
    points, truth = folder.labelled_points(0)
    segmenter = Segmenter(model)
    batch = segmenter.batch_of(points)
    features = segmenter.run_network(batch).voxel_features_VE[batch.point_to_voxel_P]
    wanted = torch.nn.functional.one_hot(torch.from_numpy(truth).long(), 20).float()
    features = torch.cat((features, torch.ones(len(features), 1)), dim=1).double()
    # With a little of the identity, for features that depend on one another: else rounding would decide.
    squares = features.T @ features + 1e-2 * torch.eye(features.shape[1], dtype=torch.float64)
    solution = torch.linalg.solve(squares, features.T @ wanted.double()).float()
    with torch.no_grad():
        layer = model.label_layer
        layer.weight.zero_()
        layer.weight[layer.weight.shape[0] // 2] = 40 * solution[:-1]
        layer.bias.copy_(40 * solution[-1])
    path = tmp_path_factory.mktemp("weights") / "loud.safetensors"
    save_weights(path, model, {"commit": "abc"})
    return path


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory, dataset, weights):
    out = tmp_path_factory.mktemp("weights") / "calibrated.safetensors"
    assert run(["calibrate", str(dataset), "--weights", str(weights), "--out", str(out)]) == 0
    return out


def test_the_command_writes_the_temperature_and_what_it_was_fitted_on_and_nothing_else(weights, calibrated):
    before, after = load_model(weights)[0], load_model(calibrated)[0]
    assert all(torch.equal(tensor, after.state_dict()[name]) for name, tensor in before.state_dict().items())
    facts = read_facts(calibrated)
    found = facts.pop("confidence")
    assert facts == read_facts(weights)
    assert found["fitted_on"] == {"dataset": "tiny", "sequences": ["08"], "scans": 2, "points": 4000}
    assert found["checked_on"] == {"scans": 2, "points": 4000}
    assert found["ece_after"] < 0.7 * found["ece_before"]
    assert found["temperature"] > 1.5


def test_evaluation_measures_what_calibration_promised_and_labels_stay(dataset, weights, calibrated, tmp_path, capsys):
    results = []
    for path in (weights, calibrated):
        file = tmp_path / f"{path.stem}.json"
        assert run(["evaluate", str(dataset), "--weights", str(path), "--json", str(file)]) == 0
        results.append(json.loads(file.read_text()))
    before, after = results
    assert before["labels_by_truth"] == after["labels_by_truth"]
    promised = read_facts(calibrated)["confidence"]
    # It was promised for half of these scans.
    assert before["calibration"]["ece"] == pytest.approx(promised["ece_before"], abs=0.06)
    assert after["calibration"]["ece"] == pytest.approx(promised["ece_after"], abs=0.06)
    assert before["calibration"]["fitted_on"] == []
    assert after["calibration"]["fitted_on"] == ["08"]
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("expected calibration error")]
    assert f"error {100 * after['calibration']['ece']:.1f} %" in lines[1]
    assert "fitted on 08" in lines[1]


def test_a_temperature_has_no_part_in_the_confidences_of_votes(dataset, weights, calibrated, tmp_path, capsys):
    found = []
    for path in (weights, calibrated):
        file = tmp_path / f"{path.stem}_votes.json"
        command = ["evaluate", str(dataset), "--weights", str(path), "--max-scans", "1", "--votes", "2"]
        assert run([*command, "--json", str(file)]) == 0
        found.append(json.loads(file.read_text())["calibration"])
    assert found[0] == found[1]
    assert found[0]["fitted_on"] == []
    assert 0 < found[0]["ece"] < 1
    assert "fitted on" not in capsys.readouterr().out


def test_shifted_classes_leave_the_temperature_out_and_statistics_without_intensity_keep_it(
    dataset, calibrated, tmp_path
):
    for command, is_kept in (("balance", False), ("without-intensity", True)):
        out = tmp_path / f"{command}.safetensors"
        assert run([command, str(dataset), "--weights", str(calibrated), "--out", str(out), "--split", "00"]) == 0
        assert ("confidence" in read_facts(out)) == is_kept


def test_weights_trained_from_calibrated_ones_have_no_temperature_of_their_own(dataset, calibrated, tmp_path):
    model = read_facts(calibrated)["model"]
    settings = [f"dataset={dataset}", f"model={json.dumps(model)}", f"initial_weights={calibrated}", "sequences=[00]"]
    with mock.patch("training.run.loop.draw_curves"):
        train(load_config(None, [*settings, "max_steps=1", "num_threads=1"]), tmp_path / "run")
    assert "confidence" not in read_facts(tmp_path / "run")
    assert Segmenter.from_weights(tmp_path / "run", device="cpu").temperature == 1


def test_scans_that_the_weights_learned_from_are_named(dataset, weights, tmp_path, capsys):
    model, facts = load_model(weights)
    path = tmp_path / "seen.safetensors"
    save_weights(path, model, {**facts, "training_data": {"dataset": "tiny", "sequences": ["08"]}})
    assert run(["calibrate", str(dataset), "--weights", str(path), "--out", str(tmp_path / "out.safetensors")]) == 0
    assert "warning: 08 are among what these weights learned from" in capsys.readouterr().err


def test_a_temperature_that_makes_other_scans_worse_is_told(weights, dataset, tmp_path, capsys):
    command = ["calibrate", str(dataset), "--weights", str(weights), "--out", str(tmp_path / "good.safetensors")]
    assert run(command) == 0
    assert "became less true" not in capsys.readouterr().err
    # The temperature is fitted where many labels are wrong, and checked where all are right.
    points, raw = random_scan(np.random.default_rng((8, 0)))
    own = SEMANTICKITTI.raw_from_class_ids(Segmenter.from_weights(weights, "cpu").segment(points).labels)
    write_scan(tmp_path / "unlike", "08", "000000", points, raw)
    write_scan(tmp_path / "unlike", "08", "000001", points, own)
    command[1], command[-1] = str(tmp_path / "unlike"), str(tmp_path / "bad.safetensors")
    assert run(command) == 0
    assert "confidences of the other scans became less true" in capsys.readouterr().err


def test_one_scan_and_scans_without_labels_are_refused(tmp_path):
    segmenter = Segmenter(build_model(TINY_MODEL))
    root = write_dataset(tmp_path, {"08": 2})
    with pytest.raises(UserError, match="at least two scans"):
        calibrate(segmenter, ScanFolder(root, ["08"]), max_scans=1)
    labels = sorted((root / "sequences" / "08" / "labels").iterdir())[1]
    labels.write_bytes(bytes(labels.stat().st_size))
    with pytest.raises(UserError, match="no labelled point in half"):
        calibrate(segmenter, ScanFolder(root, ["08"]))
