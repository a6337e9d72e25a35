"""Every command that reads clouds says the same of them, once, in the names of its own options."""

import numpy as np
import pytest
from ros_clouds import rosbags_cloud, xyzi_cloud
from tiny_dataset import write_scan

from pvd_cli.main import run
from pvd_core.clouds.example import spinning_scan
from pvd_ros.bags import BagWriter

GROUND = "below the cloud's origin, expected 1.73 m: "
OPTION = GROUND + "set --mounting-height 0."
IN_WORDS = GROUND + "shift z so that the ground is at -1.73"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Two labelled scans and a bag of a sensor 0.5 m above the ground."""
    root = tmp_path_factory.mktemp("low")
    points = spinning_scan(24_000) + np.float32([0, 0, 1.23, 0])
    for folder, suffix, values in (("velodyne", "bin", points), ("labels", "label", np.full(len(points), 40, "<u4"))):
        for number in range(2):
            path = root / "sequences/08" / folder / f"{number:06d}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            values.tofile(path)
    with BagWriter(root / "bag") as writer:
        for stamp in range(2):
            writer.write_cloud("/lidar", xyzi_cloud(points, stamp_ns=stamp), stamp)
    return root


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("predict {scans} --out {out} --weights {weights}", OPTION),
        ("evaluate {root} --weights {weights} --device cpu", OPTION),
        ("view {scans} --png {out} --weights {weights}", OPTION),
        ("label-bag {root}/bag {out}/bag --weights {weights}", OPTION),
        ("bench {scans} --pool --runs 3 --weights {weights}", IN_WORDS),
    ],
)
def test_a_frame_that_is_not_the_networks_is_said_once(
    line, words, dataset, weights, tmp_path, no_processes, short_warm_up, capsys
):
    scans = dataset / "sequences/08/velodyne"
    (tmp_path / "out").mkdir()
    filled = line.format(root=dataset, scans=scans, out=tmp_path / "out", weights=weights)
    assert run(filled.split()) == 0
    printed = capsys.readouterr()
    notes = [
        text for text in (printed.err + printed.out).splitlines() if text.startswith("note: ") and "ground" in text
    ]
    assert len(notes) == 1
    assert words in notes[0]


@pytest.mark.parametrize("shift", [0, 4000])
def test_labels_of_clouds_in_a_maps_frame_end_with_a_last_line_and_an_exit_code(shift, weights, tmp_path, capfd):
    points = spinning_scan(6_000) + np.float32([shift, 0, 0, 0])
    points.tofile(tmp_path / "scan.bin")
    with BagWriter(tmp_path / "bag") as writer:
        writer.write_cloud("/lidar", xyzi_cloud(points, stamp_ns=1), 1)
    for line in ("predict {0}/scan.bin --out {0}/out", "label-bag {0}/bag {0}/labelled"):
        assert run([*line.format(tmp_path).split(), "--weights", str(weights)]) == (4 if shift else 0)
        printed = capfd.readouterr()
        assert ("a map's frame?" in printed.out + printed.err) == bool(shift)
        assert printed.err.endswith("the notes say why\n") == bool(shift)


@pytest.mark.parametrize(
    ("spoil", "cause"),
    [(lambda points: points * np.float32([1000, 1000, 1000, 1]), "millimetres?"),
     (lambda points: points[:, [1, 2, 0, 3]] * np.float32([-1, -1, 1, 1]), "the ground lies towards +y")],
)  # fmt: skip
def test_every_command_that_labels_says_by_its_exit_code_that_labels_are_worthless(
    spoil, cause, weights, tmp_path, capfd
):
    points = spinning_scan(24_000)
    write_scan(tmp_path, "08", "000000", spoil(points), np.full(len(points), 40))
    for line in ("predict {0} --out {0}/out", "evaluate {0}", "view {0} --png {0}/png", "view {0} --gif {0}/a.gif"):
        assert run([*line.format(tmp_path).split(), "--weights", str(weights)]) == 4
        printed = capfd.readouterr()
        assert cause in printed.err
        assert printed.err.endswith("the notes say why\n")
    # These would learn from such labels, or hand them in.
    write_scan(tmp_path, "11", "000000", spoil(points), None)
    for line in ("pseudo-label {0} --out {0}/own", "balance {0} --split 08 --out {0}/w.safetensors --weights",
                 "submit {0} --out {0}/s.zip --allow-missing"):  # fmt: skip
        assert run([*line.format(tmp_path).removesuffix(" --weights").split(), "--weights", str(weights)]) == 2
        assert cause in capfd.readouterr().err


def test_what_failed_besides_does_not_hide_that_labels_are_worthless(weights, tmp_path, capfd):
    (spinning_scan(6_000) + np.float32([200, 0, 0, 0])).tofile(tmp_path / "far.bin")
    (tmp_path / "empty.bin").touch()
    with BagWriter(tmp_path / "bag") as writer:
        writer.write_cloud("/lidar", xyzi_cloud(spinning_scan(6_000) + np.float32([200, 0, 0, 0]), stamp_ns=1), 1)
        writer.write_cloud("/lidar", rosbags_cloud(fields=[("x", 0, 7, 1)], data=bytes(32)), 2)
    for line in ("predict {0}/far.bin {0}/empty.bin --out {0}/out", "label-bag {0}/bag {0}/labelled"):
        assert run([*line.format(tmp_path).split(), "--weights", str(weights)]) == 3
        assert "the labels of 1 cloud are worthless" in capfd.readouterr().err


CHANGES = {
    "millimetres": lambda points: points * np.float32([1000, 1000, 1000, 1]),
    "reaches 2": lambda points: points * np.float32([1, 1, 1, 255]),
    "the ground is": lambda points: points + np.float32([0, 0, 1.23, 0]),
}


@pytest.mark.parametrize("words", CHANGES)
def test_what_changes_within_a_bag_is_said_and_ends_with_an_exit_code(words, weights, tmp_path, capfd):
    points = spinning_scan(24_000)
    with BagWriter(tmp_path / "bag") as writer:
        for stamp in range(12):
            cloud = CHANGES[words](points) if stamp >= 5 else points
            writer.write_cloud("/lidar", xyzi_cloud(cloud, stamp_ns=stamp), stamp)
    line = f"label-bag {tmp_path}/bag {tmp_path}/labelled --weights {weights}"
    assert run(line.split()) == (4 if words == "millimetres" else 0)
    printed = capfd.readouterr()
    (note,) = (text for text in (printed.out + printed.err).splitlines() if words in text)
    assert "cloud 6:" in note
    assert ("the labels of 7 clouds are worthless" in printed.err) == (words == "millimetres")


def test_a_mounting_that_is_told_to_an_evaluation_ends_the_note(dataset, weights, capsys):
    command = ["evaluate", str(dataset), "--weights", str(weights), "--device", "cpu"]
    assert run([*command, "--mounting-height", "0.5"]) == 0
    assert "note: " not in capsys.readouterr().err


def test_the_demo_says_it_where_it_labels_without_the_node(dataset, weights, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("pvd_cli.demo.offline.why_no_node", lambda: "no node here")
    demo = ["demo", "--bag", str(dataset / "bag"), "--weights", str(weights), "--out", str(tmp_path / "demo")]
    assert run(demo) == 0
    assert OPTION in capsys.readouterr().out
    assert run([*demo, "--mounting-height", "0.5"]) == 0
    assert GROUND not in capsys.readouterr().out


def test_a_mounting_of_a_simulated_drive_is_refused(error_of):
    assert "for the clouds of a --bag" in error_of("demo", "--mounting-roll", "3")
