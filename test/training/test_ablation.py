"""Grids of trainings: a whole grid with tiny networks, kills, sharing between processes, tables."""

import json
import signal
import statistics
import sys
from unittest import mock

import numpy as np
import pytest
import yaml
from forked_calls import ForkedCall
from tiny_dataset import write_dataset
from tiny_grid import command, grid_file

from pvd_cli.main import run
from pvd_core.taxonomy import SEMANTICKITTI
from training.ablation.near_far import NearFarConfig, write_near_far
from training.data.dataset import ScanFolder

pytestmark = pytest.mark.usefixtures("without_curves")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("drive"), {"00": 4, "08": 1})


@pytest.fixture(scope="module")
def finished(dataset, tmp_path_factory):
    """(grid file, folder) of a grid that has run from the command line."""
    folder = tmp_path_factory.mktemp("grid")
    path = grid_file(folder, groups={"on wheels": ["car", "bicycle"]})
    assert run(command(path, dataset, folder / "out")) == 0
    return path, folder / "out"


def start(arguments):
    return ForkedCall(run_and_exit, arguments)


def run_and_exit(arguments):
    with mock.patch("training.run.loop.draw_curves"):
        sys.exit(run(arguments))


def run_folders(out):
    return sorted(str(path.parent.relative_to(out)) for path in out.glob("runs/*/*/result.json"))


def times_of(out):
    return {path: path.stat().st_mtime_ns for path in out.glob("runs/*/*/*.*")}


def test_grid_of_two_methods_and_two_seeds_gives_a_table(finished, dataset):
    _, out = finished
    assert len(run_folders(out)) == 8
    results = json.loads((out / "tiny" / "results.json").read_text())
    rows = {row["name"]: row for row in results["rows"]}
    assert list(rows) == ["teacher", "student", "pvd"]
    for name, row in rows.items():
        scores = [json.loads((out / f"runs/seed{seed}/{name}/result.json").read_text())["miou"] for seed in (0, 1)]
        assert row["miou_mean"] == pytest.approx(np.mean(scores))
        assert row["miou_std"] == pytest.approx(statistics.stdev(scores))
        assert set(row["iou"]) == set(SEMANTICKITTI.names[1:])
        assert (row["steps"], row["seeds"]) == (3, [0, 1])
    differences = np.subtract(rows["pvd"]["scores"], rows["student"]["scores"])
    assert rows["pvd"]["difference"]["mean"] == pytest.approx(differences.mean())
    assert rows["student"]["difference"] is None
    assert results["hardware"][0]["cores"] >= 1
    assert results["commits"]
    text = (out / "tiny" / "results.md").read_text()
    assert "| PVD |" in text
    assert "paper: SPVNAS" in text
    assert "63.8" in text


def test_a_group_of_classes_has_a_column_of_its_own(finished):
    folder = finished[1] / "tiny"
    rows = {row["name"]: row for row in json.loads((folder / "results.json").read_text())["rows"]}
    for row in rows.values():
        group = row["groups"]["on wheels"]
        assert group["score_mean"] == pytest.approx((row["iou"]["car"] + row["iou"]["bicycle"]) / 2)
    differences = np.subtract(*(rows[name]["groups"]["on wheels"]["scores"] for name in ("pvd", "student")))
    assert rows["pvd"]["groups"]["on wheels"]["difference"]["mean"] == pytest.approx(differences.mean())
    assert "| over student | on wheels | over student | runs |" in (folder / "results.md").read_text()
    methods = json.loads((folder / "tiny_methods.json").read_text())["rows"]
    assert methods[2]["groups"] == rows["pvd"]["groups"]


def test_table_of_methods_has_the_agreed_fields(finished, dataset):
    table = json.loads((finished[1] / "tiny" / "tiny_methods.json").read_text())
    assert {"dataset", "hardware", "seeds", "rows"} <= set(table)
    assert (table["dataset"], table["seeds"]) == (dataset.name, [0, 1])
    assert [row["method"] for row in table["rows"]] == ["teacher", "student", "pvd"]
    for row in table["rows"]:
        assert 0 <= row["miou_mean"] <= 1
        assert row["miou_std"] >= 0
        assert set(row["iou"]) == set(SEMANTICKITTI.names[1:])


def test_picture_is_drawn_where_matplotlib_is(finished):
    pytest.importorskip("matplotlib")
    assert (finished[1] / "tiny" / "results.png").read_bytes()[:4] == b"\x89PNG"


def test_finished_runs_are_left_alone_and_the_table_is_written_again(finished, dataset):
    path, out = finished
    before = times_of(out)
    (out / "tiny" / "results.json").unlink()
    assert run(command(path, dataset, out)) == 0
    assert times_of(out) == before
    assert (out / "tiny" / "results.json").is_file()


def test_folder_with_runs_of_other_settings_is_refused(finished, dataset, capsys):
    path, out = finished
    assert run(command(path, dataset, out, "--set", "settings.max_steps=5")) == 2
    assert "differs from the grid in max_steps" in capsys.readouterr().err


@pytest.mark.slow
def test_killed_grid_goes_on_to_the_same_scores(finished, dataset, tmp_path):
    path, whole = finished
    out = tmp_path / "out"
    arguments = command(path, dataset, out, "--seeds", "0")
    # At the start of a run; after it, as if its score were not written yet.
    for number in (1, 3):
        process = start(arguments)
        process.wait_until(lambda number=number: len(list(out.glob("runs/*/*/losses.jsonl"))) >= number)
        process.kill()
    (out / "runs" / "seed0" / "teacher" / "result.json").unlink()
    # Moved meanwhile, half-done runs and all.
    out = out.rename(tmp_path / "moved")
    assert run(command(path, dataset, out, "--seeds", "0")) == 0
    for name in ("teacher", "pretrained", "student", "pvd"):
        again, first = (json.loads((f / f"runs/seed0/{name}/result.json").read_text()) for f in (out, whole))
        assert again["iou"] == first["iou"]


def test_two_processes_share_a_grid_and_do_no_run_twice(finished, dataset, tmp_path):
    path, whole = finished
    arguments = command(path, dataset, tmp_path / "out", "--seeds", "0")
    codes, outputs = zip(*(process.wait() for process in [start(arguments) for _ in range(2)]), strict=True)
    assert codes == (0, 0), outputs
    started = [line.split(": ")[1] for output in outputs for line in output.splitlines() if line.startswith("run ")]
    assert len(started) == len(set(started)) == 4
    assert run_folders(tmp_path / "out") == [path for path in run_folders(whole) if "seed0" in path]
    results = [json.loads((folder / "tiny" / "results.json").read_text()) for folder in (tmp_path / "out", whole)]
    assert [row["scores"] for row in results[0]["rows"]] == [row["scores"][:1] for row in results[1]["rows"]]


def test_interrupted_grid_ends_with_code_130_and_keeps_its_state(dataset, tmp_path):
    path = grid_file(tmp_path, settings={"max_steps": 5000})
    process = start(command(path, dataset, tmp_path / "out"))
    losses = tmp_path / "out" / "runs" / "seed0" / "teacher" / "losses.jsonl"
    process.wait_until(lambda: losses.is_file() and losses.read_text().count("\n") > 2)
    process.send_signal(signal.SIGINT)
    code, output = process.wait()
    assert code == 130, output
    assert (losses.parent / "checkpoint.pt").is_file()
    assert not (losses.parent / "result.json").exists()


def test_torchrun_with_several_processes_is_refused(dataset, tmp_path, monkeypatch, capsys):
    for name, value in (("TORCHELASTIC_RUN_ID", "x"), ("WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    assert run(command(grid_file(tmp_path), dataset, tmp_path / "out")) != 0
    assert "torchrun started 2 processes of pvd ablate" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_run_that_diverges_is_named_and_the_others_are_done(dataset, tmp_path, capsys):
    rows = [
        {"name": "bad", "settings": {"optimizer": {"learning_rate": 1e30}, "schedule": {"warmup_steps": 0}}},
        {"name": "after", "starts_from": "bad"},
        {"name": "student"},
    ]
    path = grid_file(tmp_path, rows=rows)
    assert run(command(path, dataset, tmp_path / "out", "--seeds", "0")) == 2
    message = capsys.readouterr().err
    assert "2 of 4 runs have failed: seed0/bad: step" in message
    assert "seed0/after: a run that it needs has failed" in message
    assert run_folders(tmp_path / "out") == ["runs/seed0/pretrained", "runs/seed0/student"]
    assert "| bad | - |" in (tmp_path / "out" / "tiny" / "results.md").read_text()


def test_teacher_file_is_scored_and_not_trained(finished, dataset, tmp_path):
    path, whole = finished
    teacher = whole / "runs" / "seed0" / "teacher"
    options = ("--only", "teacher", "--set", f"teacher.weights={teacher / 'last.safetensors'}")
    assert run(command(path, dataset, tmp_path / "out", *options)) == 0
    scores = [
        json.loads((f / "result.json").read_text())["iou"] for f in (tmp_path / "out/runs/seed0/teacher", teacher)
    ]
    assert scores[0] == pytest.approx(scores[1])
    assert not (tmp_path / "out/runs/seed0/teacher/losses.jsonl").exists()


def test_dry_run_names_the_runs_and_their_time_and_keeps_nothing(dataset, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("training.ablation.estimate._NUM_STEPS", 3)
    path = grid_file(tmp_path, settings={"max_steps": 600})
    assert run(command(path, dataset, tmp_path / "out", "--dry-run", "--seeds", "0")) == 0
    output = capsys.readouterr().out
    assert all(f"seed0/{name}" in output for name in ("teacher", "pretrained", "student", "pvd"))
    assert "4 runs, about" in output
    assert not (tmp_path / "out").exists()


def test_interrupted_dry_run_ends_with_code_130(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("training.ablation.estimate._NUM_STEPS", 100_000)
    # Ctrl-C while the first step is measured.
    monkeypatch.setattr(
        "training.ablation.estimate._StopWatch.step", lambda *arguments: signal.raise_signal(signal.SIGINT)
    )
    path = grid_file(tmp_path)
    assert run(command(path, dataset, tmp_path / "out", "--dry-run")) == 130


@pytest.mark.parametrize("handling", ["unlabelled", "removed"])
def test_near_objects_are_trained_on_and_far_ones_validated(handling, tmp_path):
    source = write_dataset(tmp_path / "source", {"00": 2, "08": 2})
    config = NearFarConfig(distance_m=9.0, handling=handling)
    write_near_far(source, tmp_path / "out", "train", "valid", config, 4, SEMANTICKITTI)
    for split, is_near in (("train", True), ("valid", False)):
        before, after = ScanFolder(source, split), ScanFolder(tmp_path / "out", split)
        num_wrong = 0
        for index in range(len(before)):
            points, labels = before.labelled_points(index)
            is_wrong = (labels == 1) & ((np.hypot(points[:, 0], points[:, 1]) <= 9.0) != is_near)
            num_wrong += is_wrong.sum()
            new_points, new_labels = after.labelled_points(index)
            if handling == "removed":
                expected = points[~is_wrong], labels[~is_wrong]
            else:
                expected = points, np.where(is_wrong, 0, labels)
            np.testing.assert_array_equal(new_points, expected[0])
            np.testing.assert_array_equal(new_labels, expected[1])
        assert num_wrong > 0


def test_grid_on_near_and_far_cars_compares_their_iou(dataset, tmp_path):
    changes = {"near_far": {"distance_m": 9.0}, "metric": "car", "rows": [{"name": "student"}]}
    path = grid_file(tmp_path, **changes)
    assert run(command(path, dataset, tmp_path / "out", "--seeds", "0")) == 0
    results = json.loads((tmp_path / "out" / "tiny" / "results.json").read_text())
    assert results["rows"][0]["scores"] == [results["rows"][0]["iou"]["car"]]
    assert "IoU of car" in (tmp_path / "out" / "tiny" / "results.md").read_text()
    # Other grids in the same folder must not take these runs for theirs.
    assert not (tmp_path / "out" / "runs").exists()


def test_a_table_with_costs_names_each_network_its_method_and_what_it_takes(dataset, tmp_path):
    minkunet = {"name": None, "architecture": "minkunet", "grid": {"voxel_size": 2.0}}
    grid = {
        "name": "families",
        "title": "Families",
        "is_table_of_methods": True,
        "measures_cost": True,
        "seeds": [0],
        "pretraining": None,
        "settings": {"max_steps": 2, "epochs": None, "batch_size": 1, "validation": {"every_steps": 0}},
        "rows": [
            {"name": "big", "once": True, "starts_from": "random",
             "settings": {"model": {**minkunet, "channel_ratio": 0.25}}},
            {"name": "pvd", "starts_from": "teacher", "teacher": "big", "distillation": {},
             "settings": {"model": {**minkunet, "channel_ratio": 0.125}}},
        ],
    }  # fmt: skip
    path = tmp_path / "grid.yaml"
    path.write_text(yaml.safe_dump(grid))
    assert run(command(path, dataset, tmp_path / "out")) == 0
    rows = json.loads((tmp_path / "out" / "families" / "families_methods.json").read_text())["rows"]
    assert [(row["family"], row["width"], row["method"]) for row in rows] == [
        ("minkunet", 0.25, "none"),
        ("minkunet", 0.125, "pvd"),
    ]
    for row in rows:
        assert row["latency_ms"] > 0
        assert 100 < row["peak_mb"] < 4000
        assert row["miou_mean"] >= 0
    assert 3 < rows[0]["num_parameters"] / rows[1]["num_parameters"] < 5
    assert rows[0]["gmacs"] > 2 * rows[1]["gmacs"] > 0
    threads = {row["latency_on"]["threads"] for row in rows}
    table = (tmp_path / "out" / "families" / "results.md").read_text()
    assert f"ms and MB: from points to labels, with {threads.pop()} threads" in table
