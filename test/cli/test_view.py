"""Looking at scans: layers, what keys do, pictures; the window itself where a virtual display can be started."""

import functools
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from ros_weights import tiny_weights
from tiny_dataset import write_dataset

from pvd_cli.main import run

plt = pytest.importorskip("matplotlib.pyplot", reason="pictures need matplotlib: pip install 'pvd_ros[view]'")

from PIL import Image  # noqa: E402
from rich.console import Console  # noqa: E402

from pvd_cli import picture  # noqa: E402
from pvd_cli.picture import class_colours  # noqa: E402
from pvd_cli.tables import print_class_table  # noqa: E402
from pvd_cli.view import sheet  # noqa: E402
from pvd_cli.view.animation import draw  # noqa: E402
from pvd_cli.view.layers import ERROR_LEGEND, error_colours, layers_of, only_class  # noqa: E402
from pvd_cli.view.networks import named_weights  # noqa: E402
from pvd_cli.view.scans import ViewedScans  # noqa: E402
from pvd_cli.view.state import ViewState  # noqa: E402
from pvd_core.borders.errors import UserError  # noqa: E402
from pvd_core.segmenter import Segmenter  # noqa: E402
from pvd_core.taxonomy import SEMANTICKITTI  # noqa: E402
from training.judge.metrics import ConfusionMatrix  # noqa: E402


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return tiny_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def velodyne(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"), {"08": 3}) / "sequences" / "08" / "velodyne"


@pytest.fixture
def state(velodyne, weights):
    return ViewState(ViewedScans(sorted(velodyne.iterdir()), {"tiny": Segmenter.from_weights(weights, "cpu")}))


def test_layers_are_the_input_the_truth_and_each_network_with_its_errors():
    points, truth = np.ones((4, 4), np.float32), np.array([0, 1, 9, 9])
    layers = layers_of(points, truth, {"a": truth, "b": truth}, SEMANTICKITTI)
    assert list(layers) == ["input", "truth", "a", "a: errors", "b", "b: errors"]
    assert list(layers_of(points, None, {"a": truth}, SEMANTICKITTI)) == ["input", "a"]
    assert all(colours.shape == (4, 3) and colours.min() >= 0 and colours.max() <= 1 for colours in layers.values())


def test_errors_are_white_right_points_grey_and_unlabelled_ones_dark():
    colours = error_colours(np.array([9, 1, 5]), np.array([9, 9, 0]))
    assert colours[1].min() > 0.9
    assert np.ptp(colours[0]) < 0.2
    assert colours[2].max() < colours[0].min()


def test_no_class_has_a_colour_of_the_errors():
    for colour in ERROR_LEGEND.values():
        distances = np.abs(class_colours(np.arange(1, 20), SEMANTICKITTI) - colour).max(axis=1)
        assert distances.min() > 0.15


def test_pictures_name_every_colour_in_them(state, monkeypatch, tmp_path):
    legends = []
    monkeypatch.setattr(sheet, "save_panels", lambda path, points, panels, legend, title: legends.append(set(legend)))
    sheet.save_sheet(tmp_path, state.scan)
    sheet.save_sheet(tmp_path, state.scan, "car", errors_only=True)
    assert legends[0] >= {"car", "road", "wrong", "right", "truth unknown"}
    assert legends[1] == {"car", "wrong", "right", "truth unknown"}


def test_distances_of_the_rings_are_drawn_above_the_points():
    axes = plt.figure().subplots()
    axes.scatter([0], [0])
    picture._draw_rings(axes)
    assert [text.get_text() for text in axes.texts] == ["10 m", "20 m", "30 m"]
    assert all(text.get_path_effects() for text in axes.texts)
    assert min(text.zorder for text in axes.texts) > axes.collections[0].zorder


@pytest.mark.parametrize("has_colours", [True, False])
def test_classes_have_colour_chips_only_where_there_are_colours(monkeypatch, capsys, has_colours):
    monkeypatch.setattr("pvd_cli.tables.Console", functools.partial(Console, force_terminal=has_colours))
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.delenv("NO_COLOR", raising=False)
    confusion = ConfusionMatrix(SEMANTICKITTI)
    confusion.update(np.array([1, 9]), np.array([1, 9]))
    print_class_table(confusion, "title")
    text = capsys.readouterr().out
    assert ("\x1b[48;2;255;0;255m  \x1b[0m road" in text) == has_colours
    assert "##" not in text


def test_one_class_alone_dims_every_other_point():
    colours = np.ones((3, 3))
    shown = only_class(colours, 1, np.array([1, 9, 9]), {"a": np.array([9, 1, 9])})
    assert shown[:2].min() == 1
    assert shown[2].max() < 0.2


def test_keys_walk_through_scans_layers_and_classes(state):
    first = state.scan
    assert state.press("N")
    assert state.scan is not first
    state.press("B")
    assert state.scan is first
    assert "input" in state.title
    state.press("L")
    assert "truth" in state.title
    state.press("K")
    state.press("K")
    assert "tiny: errors (white: wrong, grey: right)" in state.title
    state.press("C")
    names = [state.class_name]
    while True:
        state.press("C")
        if state.class_name in names:
            break
        names.append(state.class_name)
    assert {"car", "road", "building"} <= set(names)
    state.press("V")
    assert f"{names[-1]} alone" in state.title
    assert (state.colours() <= state.scan.layers["tiny: errors"]).all()
    state.press("A")
    assert state.class_name is None


def test_png_writes_a_picture_a_scan_with_every_layer(velodyne, weights, tmp_path):
    assert run(["view", str(velodyne), "--weights", str(weights), "--png", str(tmp_path)]) == 0
    pictures = sorted(tmp_path.iterdir())
    assert [path.name for path in pictures] == ["000000.png", "000001.png", "000002.png"]
    image = plt.imread(pictures[0])
    # Four panels side by side.
    assert image.shape[1] > 3 * image.shape[0]
    assert image[..., :3].std() > 0.02


def test_png_with_the_name_of_a_picture_is_refused_with_a_folder_to_name(velodyne, weights, tmp_path, capsys):
    picture = tmp_path / "v.png"
    assert run(["view", str(velodyne), "--weights", str(weights), "--png", str(picture)]) == 2
    assert f"expected a folder, which gets a picture NAME.png of each scan: --png {tmp_path / 'v'}" in (
        capsys.readouterr().err
    )
    assert not picture.exists()


def test_png_of_one_class_is_darker(velodyne, weights, tmp_path):
    scan = str(velodyne / "000000.bin")
    for arguments in ([], ["--class", "car"]):
        assert run(["view", scan, "--weights", str(weights), "--png", str(tmp_path), *arguments]) == 0
    whole, car = (plt.imread(tmp_path / name)[..., :3].mean() for name in ("000000.png", "000000_car.png"))
    assert car < whole


def test_affinity_draws_each_network_and_the_ideal(velodyne, weights, tmp_path, capsys):
    other = tmp_path / "other.safetensors"
    shutil.copy(weights, other)
    out = tmp_path / "affinity.png"
    command = ["view", str(velodyne / "000000.bin"), "--weights", str(weights), "--weights", str(other)]
    assert run([*command, "--affinity", str(out)]) == 0
    assert plt.imread(out).shape[1] > 1000
    assert run([*command[:2], "--weights", str(weights), "--weights", str(weights)]) != 0
    assert "is given twice" in capsys.readouterr().err


def test_networks_are_called_by_their_files_or_their_run_folders(tmp_path):
    for name in ("seed0/pvd", "seed0/student", "seed1/pvd"):
        (tmp_path / name).mkdir(parents=True)
        for file in ("best.safetensors", "last.safetensors"):
            (tmp_path / name / file).touch()
    (tmp_path / "a.safetensors").touch()
    pvd, student, other = (tmp_path / name for name in ("seed0/pvd", "seed0/student", "seed1/pvd"))
    assert named_weights([pvd, student]) == {"pvd": pvd / "best.safetensors", "student": student / "best.safetensors"}
    assert list(named_weights([pvd / "last.safetensors", tmp_path / "a.safetensors"])) == ["pvd", "a"]
    assert list(named_weights([pvd, other])) == ["seed0/pvd", "seed1/pvd"]
    assert list(named_weights([pvd, pvd / "last.safetensors"])) == ["best", "last"]
    with pytest.raises(UserError, match=r"holds no best\.safetensors"):
        named_weights([tmp_path])


def test_errors_of_networks_are_drawn_beside_the_truth(velodyne, weights, tmp_path, capsys):
    other = tmp_path / "other.safetensors"
    shutil.copy(weights, other)
    command = ["view", str(velodyne / "000000.bin"), "--weights", str(weights), "--weights", str(other), "--errors"]
    assert run([*command, "--png", str(tmp_path)]) == 0
    whole = plt.imread(tmp_path / "000000_errors.png")
    # Three panels side by side.
    assert 2 < whole.shape[1] / whole.shape[0] < 3
    assert run(command) != 0
    assert "name their folder with --png" in capsys.readouterr().err
    scan = tmp_path / "alone.bin"
    shutil.copy(velodyne / "000000.bin", scan)
    assert run(["view", str(scan), "--weights", str(weights), "--errors", "--png", str(tmp_path)]) != 0
    assert "has no labels beside it" in capsys.readouterr().err


def test_affinity_of_a_scan_without_labels_says_what_is_missing(velodyne, weights, tmp_path, capsys):
    scan = tmp_path / "alone.bin"
    shutil.copy(velodyne / "000000.bin", scan)
    assert run(["view", str(scan), "--weights", str(weights), "--affinity", str(tmp_path / "a.png")]) != 0
    assert "needs them" in capsys.readouterr().err


def test_unknown_class_is_refused_with_the_closest_one(velodyne, capsys):
    assert run(["view", str(velodyne), "--class", "cars"]) != 0
    assert "did you mean 'car'?" in capsys.readouterr().err


def test_without_a_display_the_way_to_pictures_is_named(velodyne, weights, monkeypatch, capsys):
    pytest.importorskip("open3d", reason="the window is Open3D's: pip install 'pvd_ros[view]'")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert run(["view", str(velodyne), "--weights", str(weights)]) != 0
    assert "--png" in capsys.readouterr().err


@pytest.mark.skipif(
    not (shutil.which("Xvfb") and shutil.which("xdotool")), reason="no virtual display here: install xvfb and xdotool"
)
def test_window_reacts_to_keys_and_closes(velodyne, weights):
    pytest.importorskip("open3d", reason="the window is Open3D's: pip install 'pvd_ros[view]'")
    display = f":{90 + os.getpid() % 400}"
    screen = subprocess.Popen(["Xvfb", display, "-screen", "0", "1700x1100x24"], stderr=subprocess.DEVNULL)
    environment = {**os.environ, "DISPLAY": display, "LIBGL_ALWAYS_SOFTWARE": "1"}
    command = [sys.executable, "-m", "pvd_cli", "view", str(velodyne), "--weights", str(weights)]
    viewer = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait_for_window(environment, viewer)
        # Without a window manager keys go to the window below the pointer.
        subprocess.run(["xdotool", "mousemove", "800", "500"], env=environment, check=True, timeout=30)
        for key in "nlq":
            subprocess.run(["xdotool", "key", key], env=environment, check=True, timeout=30)
            time.sleep(1.5)  # nothing outside the window says that it has drawn
        out, _err = viewer.communicate(timeout=60)
    finally:
        for process in (viewer, screen):
            process.kill()
            process.wait()
    assert "000001 (2 of 3): input" in out
    assert "000001 (2 of 3): truth" in out


def wait_for_window(environment, viewer):
    """Returns when the viewer shows its window."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        found = subprocess.run(
            ["xdotool", "search", "--onlyvisible", "--name", "pvd view"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=30,
        ).stdout.split()
        if found:
            return
        if viewer.poll() is not None:
            pytest.skip(f"Open3D opens no window on the virtual display: {viewer.stderr.read()[-300:]}")
        time.sleep(0.3)
    pytest.fail("no window within 90 s")


def test_a_drive_becomes_an_animation_of_as_many_frames_as_scans(velodyne, weights, tmp_path):
    out = tmp_path / "drive.gif"
    assert run(["view", str(velodyne), "--weights", str(weights), "--gif", str(out), "--rate", "5"]) == 0
    with Image.open(out) as animation:
        assert (animation.n_frames, animation.info["duration"], animation.info["loop"]) == (3, 200, 0)


def test_an_animation_of_another_name_than_gif_is_refused_with_the_right_one(velodyne, weights, tmp_path, capsys):
    assert run(["view", str(velodyne), "--weights", str(weights), "--gif", str(tmp_path / "drive.mp4")]) == 2
    assert "drive.gif" in capsys.readouterr().err


def test_nearer_points_cover_farther_ones_and_what_is_not_measured_is_not_drawn():
    red, blue = np.array([(1.0, 0.0, 0.0)]), np.array([(0.0, 0.0, 1.0)])
    near, far = np.array([(4.0, 0.0, 0.5, 0)], np.float32), np.array([(40.0, 0.0, -16.5, 0)], np.float32)
    for first, second, colours in ((near, far, (red, blue)), (far, near, (blue, red))):
        picture = draw(np.concatenate((first, second)), np.concatenate(colours))
        alone = draw(near, red)
        assert (draw(far, red) != draw(far[:0], red[:0])).any()
        assert (picture[(alone != draw(near[:0], red[:0])).any(axis=2)] == (255, 0, 0)).all()
    unmeasured = np.array([(np.nan, 0, 0, 0), (0, 0, 0, 0)], np.float32)
    assert (draw(unmeasured, np.ones((2, 3))) == draw(near[:0], red[:0])).all()
    behind = np.array([(-30.0, 0.0, 0.0, 0)], np.float32)
    assert (draw(behind, red) == draw(near[:0], red[:0])).all()
