"""Training with past scans behind each: what is learnt from, scored, said in the weights, and submitted."""

import json
import zipfile
from unittest import mock

import numpy as np
import pytest
import yaml
from moving_drive import POINTS_A_SCAN, write_drive
from tiny_dataset import TINY_MODEL

from pvd_core.borders.errors import UserError
from pvd_core.clouds.history import PastScans
from pvd_core.segmenter import Segmenter
from pvd_core.taxonomy import SEMANTICKITTI_MULTISCAN
from pvd_core.weights import past_scans_of, read_facts
from training.data.dataset import SPLITS, ScanFolder
from training.data.fused_scans import FusedScans
from training.judge.balance import balance_classes
from training.judge.evaluate import evaluate
from training.judge.submission import check_submission, write_submission
from training.judge.votes import segment_by_votes
from training.run.config import load_config, settings_without_effect
from training.run.loop import train
from training.run.progress import NoProgress

pytestmark = pytest.mark.usefixtures("without_curves")


def config_for(dataset, *overrides):
    base = [f"dataset={dataset}", f"model={json.dumps(TINY_MODEL)}", "num_threads=1", "batch_size=1", "max_steps=8"]
    multiscan = ["taxonomy=semantickitti-multiscan", "scans.past=2", "scans.stride=2"]
    return load_config(None, [*base, "validation.every_steps=0", *multiscan, *overrides])


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_drive(tmp_path_factory.mktemp("drive"), {"00": 6, "08": 6})


@pytest.fixture(scope="module")
def trained(dataset, tmp_path_factory):
    with mock.patch("training.run.loop.draw_curves"):  # its scope is wider than that of without_curves
        return train(config_for(dataset), tmp_path_factory.mktemp("run") / "run")


@pytest.fixture(scope="module")
def weights(trained):
    return trained["last_weights"]


def test_weights_say_what_is_behind_each_scan(weights):
    facts = read_facts(weights)
    assert (facts["past_scans"], facts["scan_stride"]) == (2, 2)
    assert facts["taxonomy"] == "semantickitti-multiscan"
    assert Segmenter.from_weights(weights, "cpu").past_scans == PastScans(2, 2)


def test_evaluation_puts_past_scans_behind_each_and_counts_its_own_points(dataset, weights, trained):
    result = evaluate(dataset, weights, device="cpu")
    assert result["num_points"] == 6 * POINTS_A_SCAN
    assert (result["past_scans"], result["scan_stride"]) == (2, 2)
    assert result["miou"] == trained["miou"]  # of the validation in training
    segmenter = Segmenter.from_weights(weights, "cpu")
    scans = FusedScans(ScanFolder(dataset, "valid", taxonomy=SEMANTICKITTI_MULTISCAN), PastScans(2, 2))
    labels = [segmenter.segment(scans.points(index)).labels[:POINTS_A_SCAN] for index in range(6)]
    truth = [scans.folder.class_ids(index) for index in range(6)]
    assert result["accuracy"] == pytest.approx(np.mean(np.equal(labels, truth)))
    assert evaluate(dataset, weights, device="cpu", votes=2)["num_points"] == 6 * POINTS_A_SCAN


def test_classes_are_balanced_on_the_scans_own_points(dataset, weights):
    segmenter = Segmenter.from_weights(weights, "cpu")
    folder = ScanFolder(dataset, "valid", taxonomy=SEMANTICKITTI_MULTISCAN)
    balance = balance_classes(segmenter, folder)
    # All points of a scan are drawn, as it has few; their scores are rounded to half precision.
    assert balance.miou_before == pytest.approx(evaluate(dataset, weights, device="cpu")["miou_present"], abs=0.01)


def test_evaluation_without_poses_is_refused(dataset, weights, tmp_path):
    sequence = tmp_path / "sequences/08"
    sequence.mkdir(parents=True)
    for part in ("velodyne", "labels"):
        (sequence / part).symlink_to(dataset / "sequences/08" / part)
    with pytest.raises(UserError, match=r"poses\.txt is missing: expected the poses of this sequence"):
        evaluate(tmp_path, weights, device="cpu")


def test_a_submission_holds_a_label_for_each_of_a_scans_own_points(weights, tmp_path):
    root = write_drive(tmp_path / "data", {**dict.fromkeys(SPLITS["test"], 1), "11": 4}, has_labels=False)
    segmenter, path, notes = Segmenter.from_weights(weights, "cpu"), tmp_path / "submission.zip", []
    write_submission(root, segmenter, path, note=notes.append)
    assert check_submission(path, root) == []
    assert notes == []
    scans = FusedScans(ScanFolder(root, "test"), PastScans(2, 2))
    with zipfile.ZipFile(path) as archive:
        raw = np.frombuffer(archive.read("sequences/11/predictions/000003.label"), "<u4")
    fused = scans.points(3)
    assert len(fused) == 2 * POINTS_A_SCAN  # of frames 3 and 1
    expected = segment_by_votes(segmenter, fused, 1).labels[:POINTS_A_SCAN]
    assert (raw == SEMANTICKITTI_MULTISCAN.raw_from_class_ids(expected)).all()


def test_past_scans_change_what_is_learnt_and_no_past_scans_are_as_before(dataset, trained, tmp_path):
    def losses(*overrides):
        run = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        train(config_for(dataset, "max_steps=2", *overrides), run)
        return [json.loads(line)["cross_entropy"] for line in (run / "losses.jsonl").read_text().splitlines()]

    single = losses("scans.past=0", "scans.stride=1")
    assert losses() != single
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"dataset": str(dataset)}))
    assert load_config(tmp_path / "config.yaml").scans == PastScans()


class Notes(NoProgress):
    def __init__(self):
        self.lines = []

    def note(self, text):
        self.lines.append(text)


def test_weights_to_start_from_that_learned_from_other_past_scans_are_told(dataset, weights, tmp_path):
    notes, start = Notes(), f"initial_weights={weights}"
    train(config_for(dataset, "max_steps=1", start, "scans.stride=1"), tmp_path / "other", progress=notes)
    said = "expects 2 past scans with stride 2 behind each, this run has scans.past 2 and scans.stride 1"
    assert sum(said in line for line in notes.lines) == 1
    assert any("2 past scans behind each" in line and "training on" in line for line in notes.lines)
    notes = Notes()
    train(config_for(dataset, "max_steps=1", start), tmp_path / "same", progress=notes)
    assert not any("expects" in line for line in notes.lines)


@pytest.mark.parametrize("sequence", ["00", "08"])
def test_a_training_without_poses_of_what_it_learns_from_or_is_scored_on_is_refused_at_once(tmp_path, sequence):
    root = write_drive(tmp_path / "data", {"00": 2, "08": 2})
    (root / "sequences" / sequence / "poses.txt").unlink()
    with pytest.raises(UserError, match=rf"sequences/{sequence}/poses\.txt is missing"):
        train(config_for(root), tmp_path / "run")
    assert not (tmp_path / "run/losses.jsonl").exists()


def test_settings_of_past_scans_are_checked(dataset):
    with pytest.raises(UserError, match="past scans are 30: expected a number of 0 to 20"):
        config_for(dataset, "scans.past=30")
    with pytest.raises(UserError, match="the stride of past scans is 0: expected 1 to 100"):
        config_for(dataset, "scans.stride=0")
    with pytest.raises(UserError, match=r"scans\.past is 2, but data is simulated"):
        config_for(dataset, "data=simulated")
    assert "scans.stride has no effect: scans.past is 0" in settings_without_effect(config_for(dataset, "scans.past=0"))


def test_facts_of_past_scans_that_are_no_numbers_are_refused():
    assert past_scans_of({}) == PastScans()
    for facts in ({"past_scans": "2"}, {"past_scans": 2, "scan_stride": 1.5}, {"past_scans": True}):
        with pytest.raises(UserError, match=r"past_scans, scan_stride in its header are .*: expected whole numbers"):
            past_scans_of(facts)
    with pytest.raises(UserError, match="past scans are 99"):
        past_scans_of({"past_scans": 99})
