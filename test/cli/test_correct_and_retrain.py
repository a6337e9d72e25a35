"""The way back: a recorded bag is labelled, exported, corrected by hand, and networks learn from the corrections."""

import json

import numpy as np
from bags import START_NS, STEP_NS, write_drive
from ros_clouds import xyzi_cloud
from tiny_dataset import TINY_MODEL, random_scan

from pvd_cli.main import run
from pvd_core.clouds.example import spinning_scan


def record(path, seeds):
    """A bag of street-like scans; (path, their true raw labels)."""
    scans = [random_scan(np.random.default_rng(seed)) for seed in seeds]
    clouds = [xyzi_cloud(points, START_NS + n * STEP_NS) for n, (points, _) in enumerate(scans)]
    return write_drive(path, clouds), [raw_labels for _, raw_labels in scans]


def correct(folder, true_labels):
    """What a person does in a tool that knows ids of instances, too."""
    files = sorted((folder / "labels").glob("*.label"))
    assert len(files) == len(true_labels)
    for file, raw_labels in zip(files, true_labels, strict=True):
        before = np.fromfile(file, "<u4")
        assert len(before) == len(raw_labels)
        assert (before != raw_labels & 0xFFFF).any(), "there is nothing to correct"
        raw_labels.astype("<u4").tofile(file)


def test_a_recorded_drive_is_labelled_exported_corrected_learnt_from_and_scored(tmp_path, weights, capsys):
    corrections = tmp_path / "corrections"
    config = tmp_path / "config.yaml"
    config.write_text(f"model: {json.dumps(TINY_MODEL)}\nbatch_size: 2\nnum_threads: 1\n")
    for sequence, seeds in (("00", range(4)), ("08", range(4, 6))):
        bag, true_labels = record(tmp_path / f"drive{sequence}", seeds)
        labelled = tmp_path / f"labelled{sequence}"
        assert run(["label-bag", str(bag), str(labelled), "--weights", str(weights)]) == 0
        assert run(["export", str(labelled), "--out", str(corrections), "--sequence", sequence]) == 0
        assert run(["dataset", "check", str(corrections)]) == 0
        correct(corrections / "sequences" / sequence, true_labels)
    assert run(["dataset", "check", str(corrections)]) == 0
    capsys.readouterr()

    words = ["--set", "epochs=null", "--set", "max_steps=2", "--config", str(config)]
    assert run(["train", str(corrections), "--out", str(tmp_path / "run"), *words]) == 0
    assert len((tmp_path / "run/losses.jsonl").read_text().splitlines()) == 2
    # A sequence of no split is learnt from where it is named, as the note says.
    assert run(["export", str(tmp_path / "labelled08"), "--out", str(corrections), "--sequence", "99"]) == 0
    note = "note: pvd train takes sequence 99 only where it is named: "
    (named,) = [line.removeprefix(note) for line in capsys.readouterr().err.splitlines() if line.startswith(note)]
    assert run(["train", str(corrections), "--out", str(tmp_path / "other"), *words, *named.split()]) == 0
    assert "sequences: '99'" in (tmp_path / "other/config.yaml").read_text()
    scored = tmp_path / "score.json"
    line = ["evaluate", str(corrections), "--weights", str(tmp_path / "run"), "--split", "valid", "--json", str(scored)]
    assert run(line) == 0
    result = json.loads(scored.read_text())
    # What a person said is the truth now: two scans of 1,000 points of road, 600 of a wall and 400 of a car.
    assert result["num_points"] == 4000
    assert {name: points for name, points in result["num_points_by_class"].items() if points} == {
        "road": 2000,
        "building": 1200,
        "car": 800,
    }


def test_exported_intensities_are_not_scaled_a_second_time(tmp_path, weights, capsys):
    points = spinning_scan(24_000)
    points[:, 3] *= 200
    points[::100, 3] = 4000  # mirrors, more than a few: beyond 1.5 also as the network gets them
    bag = write_drive(tmp_path / "drive", [xyzi_cloud(points, START_NS + n * STEP_NS) for n in range(2)])
    line = ["label-bag", str(bag), str(tmp_path / "labelled"), "--weights", str(weights)]
    assert run([*line, "--intensity-scale", "0.004"]) == 0  # not what the cloud tells
    assert run(["export", str(tmp_path / "labelled"), "--out", str(tmp_path / "data")]) == 0
    exported = np.fromfile(tmp_path / "data/sequences/00/velodyne/000000.bin", "<f4").reshape(-1, 4)
    assert exported[:, 3].max() > 1.5

    def notes(command, *arguments):
        capsys.readouterr()
        line = [command, str(tmp_path / "data/sequences/00/velodyne"), "--weights", str(weights), *map(str, arguments)]
        assert run(line) == 0
        return capsys.readouterr().err

    def all_notes(number):
        yield notes("predict", "--out", tmp_path / f"labels{number}")
        yield notes("view", "--png", tmp_path / f"pictures{number}")
        yield notes("adapt", "--out", tmp_path / f"adapted{number}.safetensors", "--strength", "0.1")
        yield notes("pseudo-label", "--out", tmp_path / f"pseudo{number}", "--votes", "1")

    def scored(name):
        line = ["evaluate", str(tmp_path / "data"), "--weights", str(weights), "--split", "00"]
        assert run([*line, "--json", str(tmp_path / name)]) == 0
        return json.loads((tmp_path / name).read_text())

    result = scored("exported.json")
    assert not any("multiplied by" in remark for remark in result["remarks"])
    assert not any("multiplied by" in each for each in all_notes(0))
    (tmp_path / "data/sequences/00/export.json").unlink()
    assert all("multiplied by" in each for each in all_notes(1))
    assert any("multiplied by" in remark for remark in scored("other.json")["remarks"])


def test_a_simulated_data_set_is_no_place_for_an_export(tmp_path, error_of):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/simulation.json").write_text("{}")
    assert "is a simulated data set" in error_of("export", tmp_path / "labelled", "--out", tmp_path / "data")


def test_mistakes_in_what_is_wanted_are_refused(tmp_path, error_of):
    line = ("export", tmp_path / "labelled", "--out", tmp_path / "data")
    assert "needs --scans N" in error_of(*line, "--below-confidence", "0.5")
    assert "no bag at" in error_of(*line)
    assert not (tmp_path / "data").exists()
