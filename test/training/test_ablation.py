"""Grids of trainings: plans, a whole grid with tiny networks, kills, sharing between processes, tables."""

import json
import signal
import statistics
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import yaml
from tiny_dataset import TINY_MODEL, write_dataset

from pvd_cli.main import run
from pvd_core import default_weights
from pvd_core.borders.errors import UserError
from pvd_core.taxonomy import CLASS_NAMES
from training.ablation.grid import merged, read_grid
from training.ablation.near_far import NearFarConfig, write_near_far
from training.ablation.plan import make_plan
from training.data.dataset import ScanFolder

TINY_GRID = {
    "name": "tiny",
    "title": "A tiny grid",
    "settings": {
        "model": TINY_MODEL,
        "max_steps": 4,
        "epochs": None,
        "batch_size": 1,
        "num_threads": 1,
        "checkpoint_every_steps": 2,
        "validation": {"every_steps": 0},
    },
    "teacher": {"settings": {"model": {"width": 6}}},
    "methods": {"pvd": {"supervoxel_size": [6, 6, 4]}},
    "reference": "student",
    "is_table_of_methods": True,
    "seeds": [0, 1],
    "rows": [
        {"name": "teacher", "shows": "teacher", "paper": {"SPVNAS": 63.8}},
        {"name": "student"},
        {"name": "pvd", "label": "PVD", "distillation": {"method": "pvd"}, "paper": {"SPVNAS": 63.8}},
    ],
}
_DEADLINE_S = 300


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("drive"), {"00": 4, "08": 1})


@pytest.fixture(scope="module")
def finished(dataset, tmp_path_factory):
    """(grid file, folder) of a grid that has run from the command line."""
    folder = tmp_path_factory.mktemp("grid")
    path = grid_file(folder)
    assert run(command(path, dataset, folder / "out")) == 0
    return path, folder / "out"


def grid_file(folder, **changes):
    path = folder / "grid.yaml"
    path.write_text(yaml.safe_dump(merged(TINY_GRID, changes)))
    return path


def command(grid, dataset, out, *options):
    return ["ablate", str(grid), "--data", str(dataset), "--out", str(out), *options]


def start(project_root, arguments):
    program = [sys.executable, "-m", "pvd_cli", *arguments]
    return subprocess.Popen(program, cwd=project_root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def run_folders(out):
    return sorted(str(path.parent.relative_to(out)) for path in out.glob("runs/*/*/result.json"))


def times_of(out):
    return {path: path.stat().st_mtime_ns for path in out.glob("runs/*/*/*.*")}


def test_rows_of_a_seed_start_from_its_student_and_see_scans_in_another_order_for_as_many_steps(tmp_path):
    plan = make_plan(read_grid(grid_file(tmp_path)), "data", tmp_path)
    assert [each.name for each in plan.runs] == [
        f"seed{seed}/{row}" for seed in (0, 1) for row in ("teacher", "pretrained", "student", "pvd")
    ]
    teacher, pretrained, student, pvd = plan.runs[4:]
    first = str(pretrained.folder / "last.safetensors")
    assert student.config.initial_weights == pvd.config.initial_weights == first
    assert pvd.config.distillation.teacher == str(teacher.folder / "last.safetensors")
    assert pvd.config.distillation.method_config().supervoxel_size == (6, 6, 4)
    assert student.config.distillation is None
    assert (pretrained.config.seed, student.config.seed, pvd.config.seed) == (1, 1001, 1001)
    assert student.config.max_steps == pvd.config.max_steps == 4
    assert (teacher.config.model["width"], student.config.model["width"]) == (6, 4)
    assert set(pvd.needs) == {teacher.folder, pretrained.folder}


def test_chosen_rows_bring_what_they_need_and_nothing_else(tmp_path):
    plan = make_plan(read_grid(grid_file(tmp_path), ["seeds=[3]"]), "data", tmp_path, ["student"])
    assert [each.name for each in plan.runs] == ["seed3/pretrained", "seed3/student"]


def test_row_may_start_from_another_row_from_the_teacher_or_at_random(tmp_path):
    rows = [
        {"name": "pvd", "distillation": {}},
        {"name": "longer", "starts_from": "pvd", "settings": {"epochs": 10, "optimizer": {"learning_rate": 2e-4}}},
        {"name": "slice", "starts_from": "teacher", "distillation": {}},
        {"name": "plain_slice", "starts_from": "teacher"},
        {"name": "fresh", "starts_from": "random"},
    ]
    grid = read_grid(grid_file(tmp_path, rows=rows, reference=None), ["seeds=[0]"])
    runs = {each.row: each for each in make_plan(grid, "data", tmp_path).runs}
    longer = runs["longer"].config
    assert longer.initial_weights == str(runs["pvd"].folder / "last.safetensors")
    assert (longer.seed, longer.epochs, longer.optimizer.learning_rate) == (2000, 10, 2e-4)
    for row in ("slice", "plain_slice"):
        assert runs[row].config.initial_slice
        assert runs[row].config.initial_weights == str(runs["teacher"].folder / "last.safetensors")
    assert runs["fresh"].config.initial_weights is None
    assert runs["fresh"].needs == ()


def test_torchrun_with_several_processes_is_refused(dataset, tmp_path, monkeypatch, capsys):
    for name, value in (("TORCHELASTIC_RUN_ID", "x"), ("WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    assert run(command(grid_file(tmp_path), dataset, tmp_path / "out")) != 0
    assert "torchrun started 2 processes of pvd ablate" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_teacher_file_stands_in_for_trained_teachers(tmp_path):
    plan = make_plan(read_grid(grid_file(tmp_path, teacher={"weights": "t.st"})), "data", tmp_path)
    assert [each.weights for each in plan.runs if each.row == "teacher"] == ["t.st"]
    assert {each.config.distillation.teacher for each in plan.runs if each.row == "pvd"} == {"t.st"}
    plan = make_plan(read_grid(grid_file(tmp_path, teacher={"weights": "shipped"})), "data", tmp_path)
    assert [each.weights for each in plan.runs if each.row == "teacher"] == [str(default_weights())]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rowss": []}, "did you mean rows"),
        ({"rows": [{"name": "a", "distilation": {}}]}, "distilation"),
        ({"rows": [{"name": "a"}, {"name": "a"}], "reference": None}, "row 'a' is there twice"),
        ({"rows": [{"name": "a/b"}], "reference": None}, "must be no path"),
        ({"rows": [{"name": "a", "starts_from": "b"}], "reference": None}, "starts from 'b'"),
        ({"rows": [{"name": "teacher"}], "reference": None}, "shows: teacher"),
        ({"reference": "studnt"}, "reference is 'studnt'"),
        ({"metric": "cars"}, "metric is 'cars'"),
        ({"seeds": [1, 1]}, "each once"),
        ({"methods": {"pdv": {}}}, "methods names pdv"),
        ({"pretraining": None}, "pretraining is null"),
        ({"near_far": {"handling": "lost"}}, "handling is 'lost'"),
        ({"settings": {"max_step": 3}}, "row 'teacher'.*did you mean max_steps"),
        ({"settings": {"max_minutes": 3}}, "max_minutes is 3"),
        ({"methods": {"pvd": {"supervoxels": 3}}}, "row 'pvd'.*unknown config key 'distillation.settings.supervoxels'"),
    ],
)
def test_mistakes_in_a_grid_file_are_named(changes, message, tmp_path):
    with pytest.raises(UserError, match=message):
        make_plan(read_grid(grid_file(tmp_path, **changes)), "data", tmp_path)


def test_unknown_row_and_wrong_seeds_on_the_command_line_are_named(tmp_path, capsys):
    path = grid_file(tmp_path)
    assert run(command(path, tmp_path, tmp_path / "out", "--only", "kd")) == 2
    assert "no row 'kd'" in capsys.readouterr().err
    assert run(command(path, tmp_path, tmp_path / "out", "--seeds", "one")) == 2
    assert "--seeds is 'one'" in capsys.readouterr().err


def test_every_shipped_grid_makes_a_plan_at_both_scales(project_root, tmp_path):
    paths = sorted((project_root / "config" / "ablations").glob("*.yaml"))
    grids = [path for path in paths if path.stem not in ("full", "cpu")]
    assert len(grids) >= 15
    for path in grids:
        for base in ("full.yaml", "cpu.yaml"):
            grid = read_grid(path, [f"base={base}"])
            assert grid.name == path.stem
            assert make_plan(grid, "data", tmp_path).runs


def test_shipped_grids_may_share_a_folder(project_root, tmp_path):
    configs = {}
    for path in sorted((project_root / "config" / "ablations").glob("*.yaml")):
        if path.stem in ("full", "cpu"):
            continue
        for each in make_plan(read_grid(path, ["base=full.yaml"]), "data", tmp_path).runs:
            assert configs.setdefault(each.folder, each.config) == each.config, each.name


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
        assert set(row["iou"]) == set(CLASS_NAMES[1:])
        assert (row["steps"], row["seeds"]) == (4, [0, 1])
    differences = np.subtract(rows["pvd"]["scores"], rows["student"]["scores"])
    assert rows["pvd"]["difference"]["mean"] == pytest.approx(differences.mean())
    assert rows["student"]["difference"] is None
    assert results["hardware"][0]["cores"] >= 1
    assert results["commits"]
    text = (out / "tiny" / "results.md").read_text()
    assert "| PVD |" in text
    assert "paper: SPVNAS" in text
    assert "63.8" in text


def test_table_of_methods_has_the_agreed_fields(finished, dataset):
    table = json.loads((finished[1] / "tiny" / "tiny_methods.json").read_text())
    assert {"dataset", "hardware", "seeds", "rows"} <= set(table)
    assert (table["dataset"], table["seeds"]) == (dataset.name, [0, 1])
    assert [row["method"] for row in table["rows"]] == ["teacher", "student", "pvd"]
    for row in table["rows"]:
        assert 0 <= row["miou_mean"] <= 1
        assert row["miou_std"] >= 0
        assert set(row["iou"]) == set(CLASS_NAMES[1:])


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


def test_killed_grid_goes_on_to_the_same_scores(finished, dataset, tmp_path, project_root):
    path, whole = finished
    out = tmp_path / "out"
    arguments = command(path, dataset, out, "--seeds", "0")
    # At the start of a run; after it, as if its score were not written yet.
    for number in (1, 3):
        process = start(project_root, arguments)
        wait_until(process, lambda number=number: len(list(out.glob("runs/*/*/losses.jsonl"))) >= number)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    (out / "runs" / "seed0" / "teacher" / "result.json").unlink()
    # Moved meanwhile, half-done runs and all.
    out = out.rename(tmp_path / "moved")
    assert run(command(path, dataset, out, "--seeds", "0")) == 0
    for name in ("teacher", "pretrained", "student", "pvd"):
        again, first = (json.loads((f / f"runs/seed0/{name}/result.json").read_text()) for f in (out, whole))
        assert again["iou"] == first["iou"]


def test_two_processes_share_a_grid_and_do_no_run_twice(finished, dataset, tmp_path, project_root):
    path, whole = finished
    arguments = command(path, dataset, tmp_path / "out")
    processes = [start(project_root, arguments) for _ in range(2)]
    outputs = [process.communicate(timeout=_DEADLINE_S)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    started = [line.split(": ")[1] for output in outputs for line in output.splitlines() if line.startswith("run ")]
    assert len(started) == len(set(started)) == 8
    assert run_folders(tmp_path / "out") == run_folders(whole)
    results = [json.loads((folder / "tiny" / "results.json").read_text()) for folder in (tmp_path / "out", whole)]
    assert [row["scores"] for row in results[0]["rows"]] == [row["scores"] for row in results[1]["rows"]]


def test_interrupted_grid_ends_with_code_130_and_keeps_its_state(dataset, tmp_path, project_root):
    path = grid_file(tmp_path, settings={"max_steps": 5000})
    process = start(project_root, command(path, dataset, tmp_path / "out"))
    losses = tmp_path / "out" / "runs" / "seed0" / "teacher" / "losses.jsonl"
    wait_until(process, lambda: losses.is_file() and losses.read_text().count("\n") > 2)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=_DEADLINE_S)
    assert process.returncode == 130, output
    assert (losses.parent / "checkpoint.pt").is_file()
    assert not (losses.parent / "result.json").exists()


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


def test_dry_run_names_the_runs_and_their_time_and_keeps_nothing(dataset, tmp_path, capsys):
    path = grid_file(tmp_path, settings={"max_steps": 600})
    assert run(command(path, dataset, tmp_path / "out", "--dry-run", "--seeds", "0")) == 0
    output = capsys.readouterr().out
    assert all(f"seed0/{name}" in output for name in ("teacher", "pretrained", "student", "pvd"))
    assert "4 runs, about" in output
    assert not (tmp_path / "out").exists()


def test_interrupted_dry_run_ends_with_code_130(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("training.ablation.estimate._NUM_STEPS", 100_000)
    path = grid_file(tmp_path)
    timer = threading.Timer(3, signal.raise_signal, [signal.SIGINT])
    timer.start()
    try:
        assert run(command(path, dataset, tmp_path / "out", "--dry-run")) == 130
    finally:
        timer.cancel()


@pytest.mark.parametrize("handling", ["unlabelled", "removed"])
def test_near_objects_are_trained_on_and_far_ones_validated(handling, tmp_path):
    source = write_dataset(tmp_path / "source", {"00": 2, "08": 2})
    config = NearFarConfig(distance_m=9.0, handling=handling)
    write_near_far(source, tmp_path / "out", "train", "valid", config)
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


def wait_until(process, condition):
    deadline = time.monotonic() + _DEADLINE_S
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.005)
