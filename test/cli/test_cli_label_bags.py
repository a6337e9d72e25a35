"""`pvd label-bags`: how it ends, what it prints and writes, and how it goes on."""

import importlib.util
import json
import signal
import time
from pathlib import Path

import pytest
from bags import clouds_of, file_of, write_drive
from fleets import assert_whole, settings_with, write_fleet
from forked_commands import start_pvd
from ros_clouds import rosbags_cloud

from pvd_cli.fleet_view import FleetProgress
from pvd_cli.main import run
from pvd_core.borders.errors import UserError
from pvd_core.borders.files import held_alone
from pvd_ros.fleet import BagResult, BagTask, Event
from pvd_ros.fleet.task import failure

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="extra fleet is not installed")
BAD = rosbags_cloud(fields=[("x", 0, 7, 1)], data=bytes(32))


def test_bags_are_labelled_counted_and_kept_when_the_command_is_repeated(tmp_path, weights, capsys):
    write_fleet(tmp_path / "in", 3)
    write_drive(tmp_path / "in/silent", [])
    out = tmp_path / "in/labelled"
    line = ["label-bags", str(tmp_path / "in"), "--out", str(out), "--weights", str(weights), "--processes", "2"]
    assert run(line) == 0
    printed = capsys.readouterr()
    assert "3 bags labelled, 1 skipped, 0 failed" in printed.out
    assert "skipped: no topic of type sensor_msgs/msg/PointCloud2" in " ".join(printed.out.split())
    assert_whole(out, 3)
    report = json.loads((out / "report.json").read_text())
    assert report["bags"] == {"found": 4, "labelled": 3, "skipped": 1, "failed": 0}
    assert report["clouds"] == {"found": 9, "labelled": 9}
    (table,) = out.glob("classes.*")
    classes = table.read_bytes()

    assert run(line) == 2
    assert "go on with --resume, label all anew with --overwrite" in capsys.readouterr().err

    times = {path: path.stat().st_mtime_ns for path in out.rglob("*.mcap")}
    (tmp_path / "in/cut.mcap").write_bytes(file_of(tmp_path / "in/day0/drive0").read_bytes()[:-200])
    assert run([*line[:-1], "1", "--resume"]) == 3
    printed = capsys.readouterr()
    assert printed.out.count("complete already") == 3
    assert "3 bags labelled, 1 skipped, 1 failed" in printed.out
    assert "1 bag not labelled (cut): the table says why" in printed.err
    assert "results go there" in printed.err
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.mcap")} == times
    assert table.read_bytes() == classes


def test_progress_counts_bags_done_at_work_and_failed_and_clouds(weights):
    tasks = [BagTask(name, Path(name), Path("out"), Path("record"), settings_with(weights)) for name in "abc"]
    progress = FleetProgress(3)
    for task, number in zip(tasks, (5, 7, 0), strict=True):
        progress.show(Event(task, "started"))
        progress.show(Event(task, "clouds", number))
    progress.show(Event(tasks[1], "done", 8, BagResult("b", "b", "labelled", labelled=8)))
    progress.show(Event(tasks[2], "done", 0, failure(tasks[2], "cut")))
    assert progress.line().startswith("labelling: 2 of 3 bags done, 1 at work, 1 failed; 13 clouds, ")


def test_where_no_bag_could_be_labelled_the_exit_code_is_2(tmp_path, weights, capsys):
    write_drive(tmp_path / "in/bad", [BAD, BAD])
    code = run(["label-bags", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--weights", str(weights)])
    assert code == 2
    assert "not one of the 2 clouds" in " ".join(capsys.readouterr().out.split())
    assert json.loads((tmp_path / "out/report.json").read_text())["results"][0]["status"] == "failed"


def test_a_full_disk_fails_the_bag_and_resume_goes_on_with_what_was_written(tmp_path, weights, capsys):
    bag = write_drive(tmp_path / "in/drive", clouds_of(24, 2000))
    line = ["label-bags", tmp_path / "in", "--out", tmp_path / "out", "--weights", weights, "--only-labelled"]
    code, output = start_pvd(*line, most_bytes=file_of(bag).stat().st_size).wait()
    assert code == 2, output
    assert "the part written is kept; free space and go on with --resume" in " ".join(output.replace("│", " ").split())
    assert not (tmp_path / "out/drive").exists()
    assert run([*map(str, line), "--resume"]) == 0
    assert_whole(tmp_path / "out", 1, 24)


def test_a_disk_that_is_full_at_the_end_leaves_the_counts_and_the_way_to_go_on(tmp_path, weights, capsys, monkeypatch):
    write_fleet(tmp_path / "in", 1)
    line = ["label-bags", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--weights", str(weights)]

    def full(_out):
        raise UserError("cannot write classes.csv: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("pvd_ros.fleet.classes.write_class_table", full)
        assert run(line) == 2
    printed = capsys.readouterr()
    assert "1 bag labelled, 0 skipped, 0 failed" in printed.out
    assert (
        "No space left on device; the bags are kept: the same command with --resume writes what is missing"
        in printed.err
    )
    assert (tmp_path / "out/report.json").is_file(), "it is written first"
    assert run([*line, "--resume"]) == 0
    assert list((tmp_path / "out").glob("classes.*"))


def is_free(bag):
    try:
        with held_alone(bag, "writing the bag"):
            return True
    except UserError:
        return False


def wait_until_free(bag):
    """Until no process writes the bag: those of a killed command end by themselves."""
    deadline = time.monotonic() + 60
    while not is_free(bag):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)])
def test_a_stopped_or_killed_command_keeps_what_was_labelled_and_resume_goes_on(tmp_path, weights, number):
    write_drive(tmp_path / "in/drive", clouds_of(60, 4000))
    line = ["label-bags", tmp_path / "in", "--out", tmp_path / "out", "--weights", weights]
    command = start_pvd(*line)
    command.wait_until(lambda: any((tmp_path / "out/.drive.unfinished").rglob("*.mcap")))
    command.send_signal(number)
    code, output = command.wait()
    if number == signal.SIGINT:
        assert code == 130, output
        assert "0 bags done; the same command with --resume goes on" in output
    wait_until_free(tmp_path / "out/drive")
    assert (tmp_path / "out/.drive.unfinished").exists()
    assert run([*map(str, line), "--resume"]) == 0
    assert_whole(tmp_path / "out", 1, 60)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--weights", "missing.safetensors"], "weights missing.safetensors: does not exist"),
        (["--gpus-per-task", "0.5"], "--gpus-per-task is for --ray"),
        pytest.param(["--ray", "local", "--device", "cuda"], "needs --gpus-per-task", marks=needs_ray),
        (["--by-file"], "--by-file needs --intensity-scale NUMBER"),
        (["--resume", "--overwrite"], "choose one of them"),
    ],
)
def test_mistakes_are_said_before_anything_starts(tmp_path, weights, error_of, words, reason):
    write_drive(tmp_path / "in/drive", clouds_of(1))
    given = [] if "--weights" in words else ["--weights", weights]
    assert reason in error_of("label-bags", tmp_path / "in", "--out", tmp_path / "out", *given, *words)
    assert not (tmp_path / "out").exists()


def test_an_empty_folder_and_an_output_that_is_the_input_are_refused(tmp_path, weights, error_of):
    (tmp_path / "in").mkdir()
    line = ("label-bags", tmp_path / "in", "--weights", weights, "--out")
    assert "expected rosbag2 folders, .mcap, .db3 or .bag files" in error_of(*line, tmp_path / "out")
    assert "name another folder with --out" in error_of(*line, tmp_path / "in")
    (tmp_path / "file").write_text("x")
    assert "is a file; name a folder" in error_of(*line, tmp_path / "file")
