"""Submissions, votes and distance bands on small folders in SemanticKITTI's layout."""

import json
import zipfile

import numpy as np
import pytest
from multiscan_weights import save_multiscan_weights
from ros_weights import tiny_weights
from tiny_dataset import write_dataset

from pvd_cli.main import run
from pvd_core.borders.errors import UserError
from pvd_core.segmenter import Segmenter
from pvd_core.taxonomy import SEMANTICKITTI, SEMANTICKITTI_MULTISCAN
from training.data.dataset import SPLITS, ScanFolder
from training.judge.evaluate import evaluate, score
from training.judge.submission import check_submission, write_submission
from training.judge.votes import segment_by_votes


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return tiny_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"), {**dict.fromkeys(SPLITS["test"], 1), "11": 2})


@pytest.fixture(scope="module")
def submission(unlabelled, weights, tmp_path_factory):
    path = tmp_path_factory.mktemp("out") / "submission.zip"
    write_submission(unlabelled, Segmenter.from_weights(weights, "cpu"), path)
    return path


def test_submission_holds_every_frame_as_raw_ids_in_the_scans_order(submission, unlabelled, weights):
    segmenter = Segmenter.from_weights(weights, "cpu")
    folder = ScanFolder(unlabelled, "test")
    with zipfile.ZipFile(submission) as archive:
        for index, scan in enumerate(folder.scans):
            raw = np.frombuffer(archive.read(f"sequences/{scan.sequence}/predictions/{scan.frame}.label"), dtype="<u4")
            assert set(raw.tolist()) <= set(SEMANTICKITTI.raw_names)
            expected = segment_by_votes(segmenter, folder.points(index), 1).labels
            assert (SEMANTICKITTI.class_ids_from_raw(raw) == expected).all()


def test_a_submission_to_the_multi_scan_task_holds_its_ids(unlabelled, tmp_path):
    weights = save_multiscan_weights(tmp_path / "multiscan.safetensors", "moving-other-vehicle")
    path = tmp_path / "submission.zip"
    write_submission(unlabelled, Segmenter.from_weights(weights, "cpu"), path)
    with zipfile.ZipFile(path) as archive:
        raw = np.frombuffer(archive.read("sequences/11/predictions/000000.label"), dtype="<u4")
    assert set(raw.tolist()) == {259}
    assert check_submission(path, unlabelled) == []


def test_labels_are_not_scored_against_a_truth_of_other_classes(unlabelled, weights):
    folder = ScanFolder(unlabelled, "11", taxonomy=SEMANTICKITTI_MULTISCAN)
    with pytest.raises(ValueError, match="network has taxonomy semantickitti, the truth semantickitti-multiscan"):
        score(Segmenter.from_weights(weights, "cpu"), folder, [0])


def test_submission_has_an_entry_for_each_folder(submission):
    with zipfile.ZipFile(submission) as archive:
        folders = {entry.filename for entry in archive.infolist() if entry.is_dir()}
    expected = {"sequences/"} | {f"sequences/{s}/" for s in SPLITS["test"]}
    assert folders == expected | {f"sequences/{s}/predictions/" for s in SPLITS["test"]}


def test_submission_passes_the_rules(submission, unlabelled):
    assert check_submission(submission, unlabelled) == []


def rewritten(source, target, change):
    """`source` with `change(name, content)` applied to each entry; None leaves it out."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for entry in old.infolist():
            content = change(entry.filename, old.read(entry.filename))
            if content is not None:
                new.writestr(entry.filename, content)
    return target


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda name, content: None if name == "sequences/13/" else content, "no entry for the folder sequences/13/"),
        (lambda name, content: None if name.endswith("15/predictions/000000.label") else content, "is missing"),
        (lambda name, content: content[:-4] if name.endswith("11/predictions/000000.label") else content, "one uint32"),
        (
            lambda name, content: (
                b"\x07\0\0\0" + content[4:] if name.endswith("21/predictions/000000.label") else content
            ),
            "does not define: [7]",
        ),
    ],
)
def test_what_the_server_would_refuse_is_named(submission, unlabelled, tmp_path, change, problem):
    problems = check_submission(rewritten(submission, tmp_path / "bad.zip", change), unlabelled)
    assert len(problems) == 1
    assert problem in problems[0]


def test_files_that_do_not_belong_there_are_named(submission, unlabelled, tmp_path):
    path = tmp_path / "more.zip"
    path.write_bytes(submission.read_bytes())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("sequences/08/predictions/000000.label", b"")
    assert check_submission(path, unlabelled) == ["sequences/08/predictions/000000.label does not belong there"]


def test_absent_test_sequences_are_refused_unless_allowed(tmp_path, weights):
    data = write_dataset(tmp_path / "data", {"11": 1})
    segmenter = Segmenter.from_weights(weights, "cpu")
    with pytest.raises(UserError, match="lacks the test sequences 12"):
        write_submission(data, segmenter, tmp_path / "out.zip")
    assert write_submission(data, segmenter, tmp_path / "out.zip", allows_missing=True) == 1
    assert any("sequences/12/" in line for line in check_submission(tmp_path / "out.zip", data))
    assert check_submission(tmp_path / "out.zip", data, allows_missing=True) == []


def test_a_name_that_the_server_refuses_is_refused_before_work(tmp_path, unlabelled, weights):
    with pytest.raises(UserError, match=r"out\.zip"):
        write_submission(unlabelled, Segmenter.from_weights(weights, "cpu"), tmp_path / "out.tar")


def test_submit_writes_checks_and_never_overwrites(unlabelled, weights, tmp_path, capsys):
    out = tmp_path / "submission.zip"
    arguments = ["submit", str(unlabelled), "--weights", str(weights), "--out", str(out)]
    assert run(arguments) == 0
    assert "passes the rules" in capsys.readouterr().out
    assert run(arguments) != 0
    assert "exists already" in capsys.readouterr().err
    assert run([*arguments, "--check"]) == 0
    out.write_bytes(b"not a zip")
    assert run([*arguments, "--check"]) != 0


def test_one_vote_gives_the_segmenters_labels_and_more_votes_the_sum_of_log_probabilities(unlabelled, weights):
    segmenter = Segmenter.from_weights(weights, "cpu")
    points = ScanFolder(unlabelled, "test").points(0)
    points[3] = np.nan
    assert (segment_by_votes(segmenter, points, 1).labels == segmenter.segment(points).labels).all()
    flipped = points * (-1, 1, 1, 1)
    two, two_of_flipped = (segment_by_votes(segmenter, each.astype(np.float32), 2).labels for each in (points, flipped))
    # Both votes of the flipped scan are the votes of the scan in the other order.
    assert (two == two_of_flipped).mean() > 0.999
    assert two[3] == 0


def test_one_vote_is_as_sure_as_the_segmenter_and_only_labels_have_a_confidence(unlabelled, weights):
    segmenter = Segmenter.from_weights(weights, "cpu")
    points = ScanFolder(unlabelled, "test").points(0)
    one = segment_by_votes(segmenter, points, 1)
    assert one.confidence == pytest.approx(segmenter.segment(points).confidence, abs=1e-6)
    many = segment_by_votes(segmenter, points, 8)
    assert ((many.confidence > 0) == (many.labels > 0)).all()
    assert many.confidence.max() <= 1


def test_empty_cloud_gets_no_labels_by_vote(weights):
    empty = np.zeros((0, 4), np.float32)
    assert len(segment_by_votes(Segmenter.from_weights(weights, "cpu"), empty, 4).labels) == 0


def test_distance_bands_add_up_to_the_whole(tmp_path, weights):
    data = write_dataset(tmp_path, {"08": 2})
    result = evaluate(data, weights, device="cpu", votes=2, by_distance=True)
    assert sum(band["num_points"] for band in result["by_distance"]) == result["num_points"]
    assert sum(result["num_points_by_class"].values()) == result["num_points"]
    assert [band["from_m"] for band in result["by_distance"]] == [0, 10, 20, 30, 40, 50]
    # Beyond 50 m there is nothing in these scans.
    assert result["by_distance"][-1]["num_points"] == 0


def test_evaluate_prints_confusions_and_writes_all_counts(tmp_path, weights, capsys):
    data = write_dataset(tmp_path, {"08": 1})
    json_path = tmp_path / "result.json"
    assert run(["evaluate", str(data), "--weights", str(weights), "--confusions", "--json", str(json_path)]) == 0
    assert "taken for" in capsys.readouterr().out
    result = json.loads(json_path.read_text())
    assert {name: sum(labels.values()) for name, labels in result["labels_by_truth"].items()} == result[
        "num_points_by_class"
    ]


def test_evaluate_prints_distance_bands_and_writes_them(tmp_path, weights, capsys):
    data = write_dataset(tmp_path, {"08": 1})
    json_path = tmp_path / "result.json"
    assert run(["evaluate", str(data), "--weights", str(weights), "--by-distance", "--json", str(json_path)]) == 0
    assert "over 50" in capsys.readouterr().out
    assert len(json.loads(json_path.read_text())["by_distance"]) == 6


def test_evaluate_refuses_scans_without_a_label(tmp_path, weights, capsys):
    data = write_dataset(tmp_path, {"08": 1})
    path = data / "sequences/08/labels/000000.label"
    path.write_bytes(bytes(path.stat().st_size))
    assert run(["evaluate", str(data), "--weights", str(weights)]) == 2
    assert "no labelled point" in capsys.readouterr().err
