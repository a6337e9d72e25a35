"""Simulated folders are SemanticKITTI's to the byte, are never overwritten, and survive interrupts. In bare streets."""

import json

import numpy as np
import pytest
from bare_streets import bare_streets

pytest.importorskip("embreex", reason="simulating needs embreex: pip install 'pvd_ros[sim]'")

from pvd_core.borders.errors import UserError
from training.simulate import simulate_sequence, write_dataset
from training.simulate.dataset import sequence_seed
from training.simulate.folder import check_free_space
from training.simulate.parallel import Chunk, split
from training.simulate.sensor.sensors import sensor_named

SETTINGS = {"train_sequences": ("00",), "valid_sequences": ("08",), "num_scans": 2, "seed": 5, "scan_interval_s": 0.5}


@pytest.fixture(scope="module", autouse=True)
def _streets():
    with bare_streets():
        yield


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated") / "drives"
    seen = []
    write_dataset(folder, **SETTINGS, progress=lambda done, total, path: seen.append((done, total, path)))
    assert [done for done, _, _ in seen] == [1, 2, 3, 4]
    assert all(total == 4 and path.exists() for _, total, path in seen)
    return folder


@pytest.fixture(scope="module")
def simulated():
    """{sequence: its frames}."""
    return {name: list(simulate_sequence(sequence_seed(5, name), 2, scan_interval_s=0.5)) for name in ("00", "08")}


def all_bytes(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_files_are_those_of_semantickitti(dataset):
    names = sorted(str(path.relative_to(dataset)) for path in dataset.rglob("*") if path.is_file())
    expected = ["simulation.json"]
    for sequence in ("00", "08"):
        expected += [f"sequences/{sequence}/{name}.txt" for name in ("calib", "poses", "times")]
        for index in ("000000", "000001"):
            expected += [f"sequences/{sequence}/velodyne/{index}.bin", f"sequences/{sequence}/labels/{index}.label"]
    assert names == sorted(expected)


def test_scans_and_labels_read_back_as_they_were_simulated(dataset, simulated):
    for sequence, frames in simulated.items():
        folder = dataset / "sequences" / sequence
        for index, frame in enumerate(frames):
            points = np.fromfile(folder / "velodyne" / f"{index:06d}.bin", "<f4").reshape(-1, 4)
            labels = np.fromfile(folder / "labels" / f"{index:06d}.label", "<u4")
            np.testing.assert_array_equal(points, frame.points)
            np.testing.assert_array_equal(labels, frame.labels)


def test_lidar_poses_follow_from_camera_poses_and_calibration(dataset, simulated):
    folder = dataset / "sequences" / "08"
    lines = dict(line.split(":", 1) for line in (folder / "calib.txt").read_text().splitlines())
    assert list(lines) == ["P0", "P1", "P2", "P3", "Tr"]
    to_camera = np.eye(4)
    to_camera[:3] = np.array(lines["Tr"].split(), dtype=float).reshape(3, 4)
    poses = np.loadtxt(folder / "poses.txt").reshape(-1, 3, 4)
    times = np.loadtxt(folder / "times.txt")
    np.testing.assert_allclose(times, [0, 0.5])
    for pose, frame in zip(poses, simulated["08"], strict=True):
        camera = np.eye(4)
        camera[:3] = pose
        np.testing.assert_allclose(np.linalg.inv(to_camera) @ camera @ to_camera, frame.pose, atol=1e-6)
    # The vehicle drives along +x of the LiDAR, so +z of the camera.
    assert poses[1, 2, 3] > 2
    assert abs(poses[1, 0, 3]) < 1


def test_an_interrupted_run_ends_with_the_same_bytes(dataset, tmp_path):
    def stop_after(last):
        def progress(done, total, path):
            if done == last:
                raise KeyboardInterrupt

        return progress

    folder = tmp_path / "resumed"
    for last in (1, 3):
        with pytest.raises(KeyboardInterrupt):
            write_dataset(folder, **SETTINGS, progress=stop_after(last))
        # What a kill between two files leaves: a scan without its labels, and half a file.
        labels = sorted(folder.glob("sequences/*/labels/*.label"))[-1]
        labels.unlink()
        labels.with_name(labels.name + ".part").write_bytes(b"half")
    write_dataset(folder, **SETTINGS)
    assert all_bytes(folder) == all_bytes(dataset)


def test_a_finished_data_set_is_never_overwritten(dataset):
    before = all_bytes(dataset)
    with pytest.raises(UserError, match="already holds a finished simulation"):
        write_dataset(dataset, **SETTINGS)
    assert all_bytes(dataset) == before


def test_a_folder_with_other_things_is_refused(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(UserError, match=r"not empty.*holiday\.jpg"):
        write_dataset(tmp_path, **SETTINGS)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]


def test_an_interrupted_run_with_other_settings_is_refused(tmp_path):
    def stop(done, total, path):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path / "d", **SETTINGS, progress=stop)
    with pytest.raises(UserError, match="seed = 5, this one has 6"):
        write_dataset(tmp_path / "d", **{**SETTINGS, "seed": 6})


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="cannot write the data set"):
        write_dataset(tmp_path / "file", **SETTINGS)


def test_damaged_facts_are_refused(tmp_path):
    (tmp_path / "simulation.json").write_text("{")
    with pytest.raises(UserError, match="damaged"):
        write_dataset(tmp_path, **SETTINGS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"valid_sequences": ("00",)}, r"unknown validation sequence '00'; did you mean '08'\? known"),
        ({"train_sequences": ("08",)}, "unknown train sequence '08'; did you mean"),
        ({"train_sequences": (), "valid_sequences": ()}, "no sequences"),
        ({"num_scans": 0}, "0 scans"),
        ({"scan_interval_s": 0.0}, "scan_interval_s is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"sensor": "vlp-16"}, "unknown sensor 'vlp-16'; did you mean 'vlp16'"),
        ({"height_m": 0.0}, "height is 0.0 m"),
        ({"tilt_deg": float("nan")}, "tilt is nan"),
        ({"num_workers": 0}, "0 worker processes"),
        ({"world": "parkin"}, "unknown world 'parkin'; did you mean 'parking'"),
        ({"scan_interval_s": float("nan")}, "scan_interval_s is nan; expected 0.01 to 10 seconds"),
        ({"valid_sequences": ("08", "08")}, "08 is named twice"),
        ({"wrold": "city"}, "unknown setting 'wrold'"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_written(tmp_path, change, message):
    with pytest.raises(UserError, match=message):
        write_dataset(tmp_path / "d", **{**SETTINGS, **change})
    assert not (tmp_path / "d").exists()


def test_facts_say_how_the_data_were_made(dataset):
    facts = json.loads((dataset / "simulation.json").read_text())
    assert facts["seed"] == 5
    assert facts["sensor"] == "hdl64e"
    assert facts["intensity_max"] == 0.99
    assert facts["complete"] is True
    assert facts["sequences"] == {"00": 2, "08": 2}


def test_long_sequences_are_split_between_workers_and_short_ones_are_not():
    missing = {"00": list(range(200)), "01": [3, 4, 9]}
    assert split(missing, 1) == [Chunk("00", 0, 200), Chunk("01", 3, 5), Chunk("01", 9, 10)]
    halves = split({"00": list(range(200))}, 2)
    assert halves == [Chunk("00", 0, 50), Chunk("00", 50, 100), Chunk("00", 100, 150), Chunk("00", 150, 200)]
    assert split({"00": list(range(20))}, 8) == [Chunk("00", 0, 20)]


def test_a_run_that_cannot_fit_on_the_disk_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"1000000000 scans need at least \d+\.\d GB"):
        check_free_space(tmp_path, 1_000_000_000, sensor_named("hdl64e"))
