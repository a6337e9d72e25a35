"""The measures that tell simulated scans from real ones, and the report on them."""

import json

import numpy as np
import pytest
from tiny_dataset import write_scan

from pvd_cli.main import run
from pvd_core.borders.errors import UserError
from pvd_core.taxonomy import SEMANTICKITTI
from training.realism.families import Family, histogram_by_class
from training.realism.gaps import FAMILIES, Gap, gaps_between, measure_scans
from training.realism.ground import ground_cells
from training.realism.rays import NUM_COLUMNS, NUM_RINGS, RAY_FAMILIES, is_missing
from training.realism.scans import MeasuredScan, ScanSample

CAR, ROAD, SIDEWALK, BUILDING = (SEMANTICKITTI.names.index(name) for name in ("car", "road", "sidewalk", "building"))
NUM_AZIMUTHS = 2083


def street_scan(sequence="00", seed=0, kerb_m=0.1, road_noise_m=0.005, kept_share=1.0, wall_m=20.0):
    """A scan of 64 rings in a wide street: road, raised sidewalks from 5 m to the sides on, walls at `wall_m`."""
    generator = np.random.default_rng(seed)
    azimuths = (np.arange(NUM_AZIMUTHS) + 0.5) * (2 * np.pi / NUM_AZIMUTHS)
    elevations = np.radians(np.linspace(2, -24, NUM_RINGS))[:, None]
    directions = np.stack(
        [
            np.cos(elevations) * np.cos(azimuths),
            np.cos(elevations) * np.sin(azimuths),
            np.broadcast_to(np.sin(elevations), (NUM_RINGS, NUM_AZIMUTHS)),
        ],
        axis=-1,
    ).reshape(-1, 3)
    down, aside = directions[:, 2], np.abs(directions[:, 1])
    distance = np.stack(
        [
            np.where(down < 0, -1.73 / np.minimum(down, -1e-9), np.inf),
            np.where(down < 0, -(1.73 - kerb_m) / np.minimum(down, -1e-9), np.inf),
            np.minimum(wall_m / np.maximum(aside, 1e-9), 60.0),
        ]
    )
    distance[0, distance[0] * aside > 5] = np.inf
    distance[1, distance[1] * aside <= 5] = np.inf
    surface = distance.argmin(axis=0)
    ranges = distance.min(axis=0)
    points = np.empty((len(ranges), 4), dtype=np.float32)
    points[:, :3] = directions * ranges[:, None]
    points[:, 2] += generator.normal(0, road_noise_m, len(points)) * (surface == 0)
    points[:, 3] = np.array([0.2, 0.3, 0.5])[surface] + generator.normal(0, 0.03, len(points))
    kept = generator.random(len(points)) < kept_share
    return MeasuredScan(sequence, "000000", points[kept], np.array([ROAD, SIDEWALK, BUILDING], np.uint8)[surface[kept]])


def streets(**settings):
    """Measures of four sequences."""
    return measure_scans(street_scan(f"{number:02d}", number, **settings) for number in range(4))


def write_streets(root, **settings):
    for number in range(4):
        scan = street_scan(f"{number:02d}", number, **settings)
        write_scan(root, scan.sequence, scan.frame, scan.points, SEMANTICKITTI.raw_from_class_ids(scan.class_ids))
    return root


def gap_of(real, simulated, family=None):
    family = family or Family("test", "Test", "m", np.arange(len(real[0]) + 1.0), None)
    return Gap(family, "all", np.array(real, dtype=float), np.array(simulated, dtype=float))


def family_named(name):
    return next(family for family in FAMILIES if family.name == name)


def test_distance_is_zero_for_the_same_and_one_without_overlap():
    assert gap_of([[0.5, 0.5, 0]], [[0.5, 0.5, 0]]).distance == 0
    assert gap_of([[0.5, 0.5, 0]], [[0, 0, 1]]).distance == 1
    assert gap_of([[0.5, 0.5, 0]], [[0.25, 0.5, 0.25]]).distance == pytest.approx(0.25)


def test_moved_says_how_far_mass_moves_in_the_unit():
    edges = np.array([0.0, 2.0, 4.0, 8.0])
    gap = gap_of([[1, 0, 0]], [[0, 0, 1]], Family("test", "Test", "m", edges, None))
    assert gap.wasserstein == pytest.approx(5.0)  # from the centre 1 to the centre 6
    assert gap.means == (pytest.approx(1.0), pytest.approx(6.0))


def test_every_sequence_counts_the_same_however_many_scans_it_has():
    twice = [street_scan("00", 1), street_scan("00", 1), street_scan("01", 2, wall_m=30)]
    once = [street_scan("00", 1), street_scan("01", 2, wall_m=30)]
    few, many = measure_scans(once), measure_scans(twice)
    assert few.keys() == many.keys()
    assert all(np.allclose(few[key].mean(axis=0), many[key].mean(axis=0)) for key in few)


def test_floor_is_what_halves_of_the_real_sequences_differ_by():
    alike = gap_of([[0.5, 0.5]] * 4, [[0, 1]])
    assert alike.floor == 0
    assert alike.excess == alike.distance == 0.5
    unlike = gap_of([[1, 0], [0, 1], [1, 0], [0, 1]], [[0.5, 0.5]])
    assert unlike.distance == 0
    assert 0.2 < unlike.floor < 0.5  # halves are alike or opposite


def test_what_was_changed_in_the_world_is_the_largest_gap():
    gaps, left_out = gaps_between(streets(), streets(road_noise_m=0.03))
    assert gaps[0].name == "roughness: road"
    assert gaps[0].means[1] > 3 * gaps[0].means[0]
    assert left_out == []
    untouched = [gap for gap in gaps if gap.name == "range: building"]
    assert untouched[0].distance == pytest.approx(0, abs=1e-6)


def test_class_of_one_side_only_is_said_to_be_left_out():
    real = streets()
    rare = {key: values[:2] if key[1] == "sidewalk" else values for key, values in real.items()}
    gaps, left_out = gaps_between(rare, {key: values for key, values in real.items() if key[1] != "building"})
    assert "intensity: building (not in the simulated scans)" in left_out
    assert "intensity: sidewalk (in fewer than 3 real sequences)" in left_out
    assert not {gap.subject for gap in gaps} & {"building", "sidewalk"}


def test_values_outside_the_edges_count_in_the_outermost_bins():
    values, class_ids = np.array([-5.0] * 60 + [0.5] * 60 + [99.0] * 80), np.full(200, CAR)
    shares = histogram_by_class(values, class_ids, np.array([0.0, 1, 2]))
    assert shares["all"].tolist() == shares["car"].tolist() == [0.6, 0.4]
    assert set(shares) == {"all", "car"}


def test_rings_are_counted_from_the_lowest():
    scan = street_scan()
    assert scan.rings.min() == 0
    assert scan.rings.max() == NUM_RINGS - 1
    assert scan.points[scan.rings == 0, 2].mean() < scan.points[scan.rings == NUM_RINGS - 1, 2].mean()


def test_missing_rays_are_found_where_they_are():
    scan = street_scan()
    assert not is_missing(scan).any()
    left = (scan.azimuths > np.radians(80)) & (scan.azimuths < np.radians(100))
    kept = ~(left & (scan.rings < 20))
    holed = MeasuredScan("00", "000000", scan.points[kept], scan.class_ids[kept])
    rows, columns = np.nonzero(is_missing(holed))
    assert (rows.min(), rows.max()) == (NUM_RINGS - 20, NUM_RINGS - 1)
    # Forward is in the middle, so that left is a quarter from the left edge.
    assert abs(columns.mean() - NUM_COLUMNS / 4) < 2
    by_ring, by_azimuth = (f.measure(holed, f.edges) for f in RAY_FAMILIES if f.name == "missing rays")
    assert (by_ring["by ring"][20:] == 0).all()
    assert by_ring["by ring"][:20] == pytest.approx(20 / 360, abs=0.002)
    assert by_azimuth["by azimuth"].argmax() in (8, 9)


def test_dropped_rays_show_as_longer_ways_to_the_next_point():
    family = family_named("rays between")
    assert family.measure(street_scan(), family.edges)["road"][0] > 0.99
    assert family.measure(street_scan(kept_share=0.8), family.edges)["road"][:2] == pytest.approx([0.8, 0.16], abs=0.02)


def test_lasers_that_disagree_show_on_walls():
    family, scan = family_named("laser bend"), street_scan()
    points = scan.points.copy()
    points[:, :3] *= (1 + np.where(scan.rings % 2, 0.01, -0.01) / scan.ranges)[:, None]

    def median_m(scan):
        shares = family.measure(scan, family.edges)["building"]
        return np.interp(0.5, np.cumsum(shares), family.edges[1:])

    assert median_m(scan) < 0.002
    disagreeing = MeasuredScan(scan.sequence, scan.frame, points, scan.class_ids)
    assert median_m(disagreeing) == pytest.approx(0.04, rel=0.2)


def test_ground_cells_have_the_kerbs_height_and_the_roads_roughness():
    scan = street_scan(kerb_m=0.12, road_noise_m=0.02)
    cells = ground_cells(scan.points, scan.class_ids)
    assert np.median(cells[SIDEWALK][0]) == pytest.approx(0.12, abs=0.01)
    assert np.median(cells[ROAD][1]) == pytest.approx(0.02, abs=0.003)
    assert np.median(cells[SIDEWALK][1]) < 0.001
    assert ground_cells(scan.points, np.full_like(scan.class_ids, BUILDING)) == {}


def test_every_family_sums_to_one_or_holds_shares():
    scan = street_scan()
    for family in FAMILIES:
        found = family.measure(scan, family.edges)
        assert found, family.name
        for bins in found.values():
            assert bins.shape == (len(family.edges) - 1,)
            assert bins.min() >= 0
            assert not family.is_distribution or bins.sum() == pytest.approx(1)


def test_pictured_scans_come_from_different_sequences(tmp_path):
    sample = ScanSample(write_streets(tmp_path))
    assert [scan.sequence for scan in sample.spread(4)] == ["00", "01", "02", "03"]
    assert len(sample.spread(9)) == 4
    assert len(ScanSample(tmp_path, max_scans=2)) == 2


# Pictures take most of the time.
@pytest.mark.parametrize("num_families", [3, pytest.param(len(FAMILIES), marks=pytest.mark.slow)])
def test_compare_writes_a_report_with_its_pictures(num_families, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("training.realism.gaps.FAMILIES", FAMILIES[:num_families])
    monkeypatch.setattr("training.realism.pictures._DPI", 30)
    monkeypatch.setattr("training.realism.report._NUM_PICTURED", 1)
    real, simulated = write_streets(tmp_path / "real"), write_streets(tmp_path / "simulated", kerb_m=0.3)
    out = tmp_path / "report"
    assert run(["compare", str(real), str(simulated), "--out", str(out), "--top", "3"]) == 0
    printed = capsys.readouterr().out
    result = json.loads((out / "report.json").read_text())
    assert result["real"]["scans"] == result["simulated"]["scans"] == 4
    excess = [gap["excess"] for gap in result["gaps"]]
    assert excess == sorted(excess, reverse=True)
    assert result["gaps"][0]["measure"] in printed
    text = (out / "report.md").read_text()
    pictures = {line.split("](")[1].rstrip(")") for line in text.splitlines() if line.startswith("![")}
    assert pictures == {path.name for path in out.glob("*.png")}
    assert {"pair.png", "above_class.png", "rays_depth.png", "chart_intensity.png"} <= pictures
    assert all((out / name).read_bytes().startswith(b"\x89PNG") for name in pictures)


def test_pair_of_scans_is_chosen_by_name(tmp_path, capsys):
    root = write_streets(tmp_path / "data")
    sample = ScanSample(root)
    assert sample.named("02/000000").sequence == "02"
    arguments = ["compare", str(root), str(root), "--out", str(tmp_path / "out")]
    for pair, message in (("02/000000,02/7", "has no scan '02/7'"), ("02/000000", "--pair names 1 scans")):
        assert run([*arguments, "--pair", pair]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_report_folder_is_never_overwritten(tmp_path, capsys):
    root = write_streets(tmp_path / "data")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    assert run(["compare", str(root), str(root), "--out", str(tmp_path / "out")]) == 2
    assert "a new or empty folder" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("folder", "message"), [("none", "does not exist"), ("data/sequences", "has no folder 'sequences'")]
)
def test_wrong_folder_is_named(tmp_path, capsys, folder, message):
    root = write_streets(tmp_path / "data")
    assert run(["compare", str(root), str(tmp_path / folder), "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_scan_with_nan_is_named(tmp_path):
    root = write_streets(tmp_path)
    points = np.full((10, 4), np.nan, dtype=np.float32)
    write_scan(root, "01", "000000", points, np.full(10, 40))
    assert run(["compare", str(root), str(root), "--out", str(tmp_path / "out")]) == 2
    with pytest.raises(UserError, match=r"000000\.bin holds points that are not finite"):
        list(ScanSample(root))


def test_real_scans_have_64_rings(shared_data):
    for scan in ScanSample(shared_data / "semantickitti", max_scans=6):
        assert scan.rings.max() == NUM_RINGS - 1
        assert 0.02 < is_missing(scan).mean() < 0.35
