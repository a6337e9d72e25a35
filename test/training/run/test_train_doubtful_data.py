"""Training on doubtful data sets: refused at the start, or done without what cannot be learnt from."""

import json
import shlex

import numpy as np
import pytest
from tiny_dataset import TINY_MODEL, random_scan, write_dataset, write_scan

from pvd_core.borders.errors import UserError
from training.data.scan_stream import LEAST_LEARNT
from training.run.config import load_config
from training.run.loop import train
from training.run.progress import NoProgress

pytestmark = pytest.mark.usefixtures("without_curves")


class Notes(NoProgress):
    """Keeps what is said and counts what is checked."""

    def __init__(self):
        self.lines, self.checked = [], []

    def note(self, text):
        self.lines.append(text)

    def checking(self, num_done, num_all):
        self.checked.append((num_done, num_all))


@pytest.fixture
def data(tmp_path):
    return write_dataset(tmp_path / "data", {"00": 4, "08": 1})


def trained(data, run_dir, *overrides, progress=None, resume=False):
    base = [f"dataset={data}", f"model={json.dumps(TINY_MODEL)}", "num_threads=1", "max_steps=6", "batch_size=1"]
    return train(load_config(None, [*base, *overrides]), run_dir, resume, progress)


def test_scans_with_too_few_points_are_left_out_of_every_epoch(data, tmp_path):
    points, labels = random_scan(np.random.default_rng(0))
    write_scan(data, "00", "000001", points[:0], labels[:0])
    write_scan(data, "00", "000002", points[:1], labels[:1])
    notes = Notes()
    summary = trained(data, tmp_path / "run", "mixing.laser_mix=0.5", "mixing.paste_objects=2", progress=notes)
    assert summary["steps"] == 6
    text = "\n".join(notes.lines)
    assert "000001.bin: has 0 usable points of 0: it is left out of the training (1 more of this kind)" in text
    assert "2 used" in text
    assert notes.checked == [(number, 5) for number in range(1, 6)]
    # With one of them mended the stream is another one, so the run cannot go on as if nothing had happened.
    write_scan(data, "00", "000002", points, labels)
    with pytest.raises(UserError, match="trained on other scans"):
        trained(data, tmp_path / "run", "mixing.laser_mix=0.5", "mixing.paste_objects=2", resume=True)


def test_smallest_scan_that_is_not_left_out_can_be_learnt_from(data, tmp_path):
    points, labels = random_scan(np.random.default_rng(0))
    for number in range(4):
        write_scan(data, "00", f"{number:06d}", points[:LEAST_LEARNT], labels[:LEAST_LEARNT])
    assert trained(data, tmp_path / "run", "augmentation.drop_points=0.9", "mixing.polar_mix=0.5")["steps"] == 6


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: [np.zeros(2000, "<u4").tofile(path) for path in folder.glob("labels/*")], "no labelled point"),
        (lambda folder: np.full(2000, 90, "<u4").tofile(folder / "labels/000001.label"), "unknown raw label ids 90"),
        (lambda folder: (folder / "labels/000001.label").unlink(), r"000001\.label: is not there"),
        (lambda folder: (folder / "velodyne/000001.bin").write_bytes(b"1"), r"000001\.bin: 1 bytes"),
    ],
)
def test_data_that_cannot_be_used_is_refused_before_there_is_a_run(data, tmp_path, spoil, message):
    spoil(data / "sequences" / "00")
    with pytest.raises(UserError, match=message):
        trained(data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_faults_of_validation_scans_are_found_at_the_start_too(data, tmp_path):
    (data / "sequences/08/labels/000000.label").write_bytes(bytes(4))
    (data / "sequences/00/labels/000002.label").write_bytes(bytes(4))
    with pytest.raises(UserError, match=r"2 errors: .*00/labels/000002\.label.*08/labels/000000\.label"):
        trained(data, tmp_path / "run")


def scaled(data, sequence, factors):
    for path in data.glob(f"sequences/{sequence}/velodyne/*.bin"):
        (np.fromfile(path, "<f4").reshape(-1, 4) * np.float32(factors)).astype("<f4").tofile(path)


@pytest.mark.parametrize("sequence", ["00", "08"])
def test_scans_from_which_nothing_can_be_learned_are_refused_at_the_start(data, tmp_path, sequence):
    scaled(data, sequence, [1000, 1000, 1000, 1])
    with pytest.raises(
        UserError, match=rf"{sequence}/velodyne/000000\.bin: .*millimetres\?: multiply x, y and z by 0\.001"
    ):
        trained(data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_training_scans_with_intensity_off_its_scale_are_said_once(data, tmp_path):
    scaled(data, "00", [1, 1, 1, 255])
    notes = Notes()
    trained(data, tmp_path / "run", "max_minutes=1e-6", progress=notes)
    (line,) = [line for line in notes.lines if "intensity reaches" in line]
    assert "00/velodyne/000000.bin: intensity reaches 2" in line
    assert "multiply it by 0.00" in line


def test_scans_of_other_columns_are_refused_with_the_setting_that_then_works(tmp_path):
    data = tmp_path / "data"
    for sequence in ("00", "08"):
        points, labels = random_scan(np.random.default_rng(int(sequence)))
        write_scan(data, sequence, "000000", points, labels)
        path = data / "sequences" / sequence / "velodyne" / "000000.bin"
        points.astype("<f8").tofile(path)
    with pytest.raises(UserError, match="--columns 4xfloat64"):
        trained(data, tmp_path / "run")
    assert trained(data, tmp_path / "run", "columns=4xfloat64")["steps"] == 6


@pytest.mark.parametrize("names", [["00"], ["08"], ["30", "31", "32"], ["08", "town_a"], ["01", "town_a"]])
def test_missing_sequences_are_refused_with_the_settings_that_then_work(tmp_path, names):
    data = write_dataset(tmp_path / "data", dict.fromkeys(names, 1))
    with pytest.raises(UserError, match="to use what is there: --set ") as refusal:
        trained(data, tmp_path / "run")
    words = shlex.split(str(refusal.value).partition("to use what is there: ")[2])
    notes = Notes()
    assert trained(data, tmp_path / "run", *words[1::2], progress=notes)["steps"] == 6
    assert any("trained on and validated on" in line for line in notes.lines) == (len(names) == 1)


def test_scans_without_intensity_are_trained_on_with_three_columns(data, tmp_path):
    for path in data.glob("sequences/*/velodyne/*.bin"):
        np.fromfile(path, "<f4").reshape(-1, 4)[:, :3].tofile(path)
    with pytest.raises(UserError, match="--columns 3 "):
        trained(data, tmp_path / "run")
    assert trained(data, tmp_path / "run", "columns=3")["steps"] == 6


def test_validating_on_what_is_trained_on_is_said(data, tmp_path):
    for sequences, number in (("[00, 08]", 1), ("[00]", 0)):
        notes = Notes()
        trained(data, tmp_path / str(number), f"sequences={sequences}", "max_minutes=1e-6", progress=notes)
        assert sum("08 are trained on and validated on" in line for line in notes.lines) == number


def test_validating_on_copies_of_training_scans_is_said_also_when_nothing_is_read_again(data, tmp_path):
    (data / "sequences/08/velodyne/000000.bin").write_bytes((data / "sequences/00/velodyne/000002.bin").read_bytes())
    for number in range(2):
        notes = Notes()
        trained(data, tmp_path / str(number), "max_minutes=1e-6", progress=notes)
        assert sum("holds the same points as 00/000002" in line for line in notes.lines) == 1


def test_unknown_columns_are_refused(data, tmp_path):
    with pytest.raises(UserError, match="columns is '2'"):
        trained(data, tmp_path / "run", "columns=2")
