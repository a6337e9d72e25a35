"""The program that measures what odometry gains by ~/static."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from moving_drive import MOVING_CAR, ROAD, drive_scan, pose_at

pytest.importorskip("rclpy", reason="its messages are those of rclpy")
pytest.importorskip("embreex", reason="simulating needs embreex: pip install 'pvd_ros[sim]'")

from pvd_core.segmenter import Segmentation
from pvd_core.taxonomy import SEMANTICKITTI
from scripts.slam_trajectory import __main__ as program
from scripts.slam_trajectory import drives
from scripts.slam_trajectory.report import markdown_of
from scripts.slam_trajectory.static_points import ALL, STATIC, STILL, TRUE_STATIC, WAYS, StaticPoints

PARKED_CAR = 10


class CarsAhead:
    """A network that takes all points with x > 10 for cars, the others for road."""

    taxonomy, runs_programs = SEMANTICKITTI, False

    def segment(self, points, with_entropy=False):
        labels = np.where(points[:, 0] > 10, *map(SEMANTICKITTI.id_of, ("car", "road"))).astype(np.uint8)
        return Segmentation(labels, np.full(len(points), 0.5, np.float32), {"total": 0.0})


@pytest.fixture
def segmenter():
    return CarsAhead()


@pytest.fixture
def static(segmenter):
    return StaticPoints(segmenter)


def test_true_labels_leave_what_they_should(static):
    raw = np.array([ROAD, PARKED_CAR, MOVING_CAR | 7 << 16, 0], np.uint32)
    points = np.random.default_rng(0).uniform(-20, 20, (4, 4)).astype(np.float32)
    chosen = static.chosen(SimpleNamespace(points=points, labels=raw))
    assert tuple(chosen) == WAYS
    assert chosen[ALL].tolist() == [True] * 4
    assert chosen[TRUE_STATIC].tolist() == [True, False, False, False]
    assert chosen[STILL].tolist() == [True, True, False, True]


def test_points_of_the_node_are_those_that_it_takes_for_no_movers(static):
    points = drive_scan(0)[0]
    kept = static.of_node(points)
    assert kept.tolist() == (points[:, 0] <= 10).tolist()
    assert 0 < kept.sum() < len(kept)


class StandingOdometry:
    """In place of KISS-ICP: it takes the sensor for standing, and holds what it was given."""

    made: list = []  # noqa: RUF012

    def __init__(self, num_threads, first_motion):
        np.testing.assert_allclose(first_motion, pose_at(1))
        self.clouds = []
        self.made.append(self)

    def pose_of(self, xyz):
        self.clouds.append(xyz)
        return np.eye(4)


@pytest.fixture
def moving_streets(monkeypatch, segmenter):
    """The program simulates a small street, with such a network."""

    class SmallDrive:
        def __init__(self, seed, num_scans, scan_interval_s, world):
            self.stamps_s = np.arange(num_scans) * scan_interval_s

        def pose(self, index):
            return pose_at(index)

        def frames(self):
            for index, stamp_s in enumerate(self.stamps_s):
                points, labels = drive_scan(index)
                yield SimpleNamespace(points=points, labels=labels, pose=pose_at(index), stamp_s=stamp_s)

    monkeypatch.setattr(drives, "Drive", SmallDrive)
    monkeypatch.setattr(program.Segmenter, "from_weights", lambda *_: segmenter)


def test_each_way_registers_its_own_points(monkeypatch, moving_streets, segmenter):
    monkeypatch.setattr(StandingOdometry, "made", [])
    monkeypatch.setattr(drives, "Registration", StandingOdometry)
    drive = drives.registered_drive("any", 1, 12, 0.1, segmenter)
    by_way = dict(zip(WAYS, StandingOdometry.made, strict=True))
    assert [len(cloud) for cloud in by_way[ALL].clouds] == [1800] * 12
    assert [len(cloud) for cloud in by_way[TRUE_STATIC].clouds] == [1500] * 12
    assert len(by_way[STATIC].clouds[3]) == (drive_scan(3)[0][:, 0] <= 10).sum()
    rows = {row["points"]: row for row in drive.rows()}
    assert rows[STILL]["removed_percent"] == rows[ALL]["moving_percent"] == pytest.approx(100 / 6)
    assert (rows[ALL]["moving_left_percent"], rows[STILL]["moving_left_percent"]) == (100, 0)
    # Odometry that stands is wrong by all of the way, here nearly straight.
    assert all(row["drift_percent"] == pytest.approx(100, abs=1) for row in rows.values())


def test_kiss_icp_follows_a_drive_and_all_results_are_written(moving_streets, tmp_path, capsys):
    pytest.importorskip("kiss_icp", reason="extra slam is not installed")
    pytest.importorskip("matplotlib", reason="pictures need matplotlib")
    files = [word for end in ("json", "markdown", "picture") for word in (f"--{end}", str(tmp_path / end))]
    sizes = ["--worlds", "one,another", "--seeds", "2", "--scans", "15", "--interval", "0.1", "--node-clouds", "0"]
    assert program.main([*sizes, *files]) == 0
    figures = json.loads((tmp_path / "json").read_text())
    assert len(figures["rows"]) == 2 * 2 * len(WAYS)
    still = [row for row in figures["rows"] if row["points"] == STILL]
    assert all(row["drift_percent"] < 5 and row["ate_m"] < 0.3 for row in still)
    assert (tmp_path / "markdown").read_text() in capsys.readouterr().out
    assert (tmp_path / "picture").read_bytes().startswith(b"\x89PNG")


def test_without_kiss_icp_the_extra_is_named_before_anything_is_simulated(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "kiss_icp.config", None)
    monkeypatch.setattr(program, "registered_drive", lambda *_: pytest.fail("simulates in vain"))
    assert program.main([]) == 2
    assert "KISS-ICP is not installed" in (said := capsys.readouterr().err)
    assert "pip install 'pvd_ros[slam]'" in said


def test_the_table_has_mean_and_deviation_over_seeds():
    base = {
        "world": "w",
        "points": ALL,
        "moving_percent": 30,
        "path_m": 90,
        "removed_percent": 5,
        "moving_left_percent": 7,
        "per_10_m_cm": None,
        "step_mm": 4,
        "drift_percent": 0.5,
    }
    rows = [{**base, "points": way, "seed": seed, "ate_m": seed} for seed in (1, 3) for way in WAYS]
    node = {"world": "w", "clouds": 10, "points": 5, "differing_clouds": 0}
    text = markdown_of({"kiss_icp": "1", "interval_s": 0.2, "scans": 9, "seeds": [1, 3], "rows": rows, "node": node})
    assert "World `w`: 90 m, 30.0 % of the points" in text
    assert f"| {ALL} | 5.0 +- 0.0 | 7.0 +- 0.0 | 2.000 +- 1.414 | - | 4.0 +- 0.0 | 0.50 +- 0.00 |" in text
    assert "10 clouds of the first `w` drive went through the real node" in text


def test_other_points_from_the_node_than_measured_with_are_an_error(monkeypatch, moving_streets, capsys):
    monkeypatch.setattr(drives, "Registration", StandingOdometry)
    monkeypatch.setattr(program, "Registration", lambda: None)
    monkeypatch.setattr(program.metadata, "version", lambda _: "1")
    for differing, code in ((1, 1), (0, 0)):
        found = {"world": "mixed", "clouds": 3, "points": 9, "differing_clouds": differing}
        monkeypatch.setattr(program, "_through_node", lambda *_, found=found: found)
        assert program.main(["--worlds", "mixed", "--seeds", "1", "--scans", "12"]) == code
        assert f"the same bytes as here for {3 - differing} of them" in capsys.readouterr().out
