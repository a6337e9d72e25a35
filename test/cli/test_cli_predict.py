"""`pvd predict` on files, folders and data sets: what it writes, scores, leaves alone and says."""

import shutil
import signal

import numpy as np
import pytest
import torch
from forked_commands import start_pvd
from ros_weights import TINY
from wide_scans import fine_weights, wide_points

from pvd_cli.label_record import NAME
from pvd_cli.main import run
from pvd_core.clouds import read_cloud
from pvd_core.clouds.example import spinning_scan
from pvd_core.models import build_model
from pvd_core.segmenter import Segmenter
from pvd_core.taxonomy import SEMANTICKITTI
from pvd_core.weights import save_weights


def test_predict_writes_what_the_segmenter_says_as_raw_ids_in_input_order(scan, weights, tmp_path, capsys):
    out = tmp_path / "deep" / "out"
    assert run(["predict", str(scan), "--weights", str(weights), "--out", str(out)]) == 0
    raw = np.fromfile(out / "scan.label", "<u4")
    expected = Segmenter.from_weights(weights, device="cpu").segment(read_cloud(scan)).labels
    np.testing.assert_array_equal(raw, SEMANTICKITTI.raw_from_class_ids(expected))
    assert set(np.unique(raw)) <= SEMANTICKITTI.raw_names.keys()
    assert raw[5] == raw[7] == 0
    printed = capsys.readouterr().out
    assert "1 scan labelled, 0 failed" in printed
    assert "classes found: " in printed
    assert "without a class under 0.1 %" in printed
    assert "p99" in printed


def test_predict_goes_on_after_a_bad_file_and_says_so_at_the_end(scan, weights, tmp_path, capsys):
    (tmp_path / "cut.bin").write_bytes(scan.read_bytes()[:-3])
    out = tmp_path / "out"
    inputs = [str(tmp_path / "cut.bin"), str(scan)]
    assert run(["predict", *inputs, "--weights", str(weights), "--out", str(out)]) == 3
    printed = capsys.readouterr()
    assert "cut.bin: 47997 bytes found" in printed.err
    assert "1 scan labelled, 1 failed" in printed.out
    assert (out / "scan.label").stat().st_size == 4 * 3000
    assert not (out / "cut.label").exists()


def test_predict_goes_on_after_a_scan_that_is_too_wide_for_the_voxels(scan, tmp_path, capsys):
    for name in "abc":
        (tmp_path / f"{name}.bin").write_bytes(wide_points().tobytes() if name == "b" else scan.read_bytes())
    inputs, out = [str(tmp_path / f"{name}.bin") for name in "abc"], tmp_path / "out"
    assert run(["predict", *inputs, "--weights", str(fine_weights(tmp_path)), "--out", str(out)]) == 3
    printed = capsys.readouterr()
    assert f"{inputs[1]}: the points extend over" in printed.err
    assert "or take a network of larger voxels" in printed.err
    assert "2 scans labelled, 1 failed" in printed.out
    assert sorted(path.name for path in out.glob("*.label")) == ["a.label", "c.label"]


def test_predict_does_not_overwrite_unless_told_to(scan, weights, tmp_path, error_of):
    arguments = ["predict", str(scan), "--weights", str(weights), "--out", str(tmp_path)]
    (tmp_path / "scan.label").write_text("mine")
    assert "exists already" in error_of(*arguments)
    assert (tmp_path / "scan.label").read_text() == "mine"
    assert run([*arguments, "--overwrite"]) == 0
    assert (tmp_path / "scan.label").stat().st_size == 4 * 3000


def test_predict_goes_on_where_it_stopped_and_scores_everything(scan, weights, tmp_path, capsys, error_of):
    folder, out = tmp_path / "sequences/08/velodyne", tmp_path / "out"
    folder.mkdir(parents=True)
    (tmp_path / "sequences/08/labels").mkdir()
    for number in range(3):
        (folder / f"{number:06d}.bin").symlink_to(scan)
        np.full(3000, 40, "<u4").tofile(tmp_path / f"sequences/08/labels/{number:06d}.label")
    arguments = ["predict", str(folder), "--weights", str(weights), "--out", str(out)]
    assert run(arguments) == 0
    whole = capsys.readouterr().out
    kept, missing = sorted(out.glob("*.label"))[:2]
    missing.unlink()
    before = kept.stat().st_mtime_ns

    assert run([*arguments, "--resume"]) == 0

    printed = capsys.readouterr()
    assert "3 scans labelled, 0 failed" in printed.out
    assert "2 scans labelled before, with the same weights and options" in printed.err
    (score,) = (line for line in whole.splitlines() if "road" in line.split())
    assert score in printed.out
    assert missing.stat().st_size == 4 * 3000
    assert kept.stat().st_mtime_ns == before
    assert run([*arguments, "--resume"]) == 0
    capsys.readouterr()
    assert "give one of the two" in error_of(*arguments, "--resume", "--overwrite")

    kept.write_bytes(kept.read_bytes()[:-40])
    assert run([*arguments, "--resume"]) == 0
    assert "1 scan labelled anew" in capsys.readouterr().err
    assert kept.stat().st_size == 4 * 3000
    right = kept.read_bytes()
    np.full(3000, 3, "<u4").tofile(kept)  # of the right size, but not what was written
    assert run([*arguments, "--resume"]) == 0
    assert "1 scan labelled anew" in capsys.readouterr().err
    assert kept.read_bytes() == right
    kept.unlink()
    kept.mkdir()
    assert "is a folder" in error_of(*arguments, "--resume")


def test_resume_keeps_no_labels_of_other_weights_options_or_programs(scan, weights, tmp_path, error_of, capsys):
    other = tmp_path / "other.safetensors"
    torch.manual_seed(9)
    save_weights(other, build_model(TINY))
    out = tmp_path / "out"
    line = ["predict", scan, "--out", out, "--weights"]
    assert run([*map(str, line), str(weights)]) == 0
    labels = (out / "scan.label").read_bytes()

    message = error_of(*line, other, "--resume")
    assert "scan.label: made with weights tiny.safetensors instead of other.safetensors" in message
    assert "--overwrite" in message
    message = error_of(*line, weights, "--resume", "--intensity-scale", "0.5", "--columns", "5")
    assert "made with intensity scale auto instead of 0.5, columns 4 instead of 5" in message
    (out / NAME).rename(out / "elsewhere")
    assert f"not made by a command that wrote {out / NAME}" in error_of(*line, weights, "--resume")
    assert (out / "scan.label").read_bytes() == labels

    (out / NAME).write_text("{not json\n[1]\n" + (out / "elsewhere").read_text() + '\n{"file": "sc')
    assert run([*map(str, line), str(weights), "--resume"]) == 0
    assert run([*map(str, line), str(other), "--overwrite"]) == 0
    capsys.readouterr()
    assert "made with weights other.safetensors" in error_of(*line, weights, "--resume")


def test_resume_labels_anew_where_the_scan_has_changed(scan, weights, tmp_path, capsys):
    line = ["predict", str(scan), "--weights", str(weights), "--out", str(tmp_path / "out")]
    assert run(line) == 0
    points = np.fromfile(scan, "<f4").reshape(-1, 4)
    points[:, 2] += 0.5
    points.tofile(scan)
    assert run([*line, "--resume"]) == 0
    assert (
        "1 scan labelled anew: the scan, the factor of its intensity or its label file has" in capsys.readouterr().err
    )


def test_resume_labels_anew_where_another_scan_decides_the_factor_of_intensity(scan, weights, tmp_path, capsys):
    folder, out = tmp_path / "scans", tmp_path / "out"
    folder.mkdir()
    points = np.fromfile(scan, "<f4").reshape(-1, 4)
    points[:, 3] = np.random.default_rng(0).random(len(points)) ** 3 * 0.5
    points.tofile(folder / "1.bin")
    options = ["--weights", str(weights), "--out"]
    assert run(["predict", str(folder), *options, str(out)]) == 0
    points[:, 3] *= 0.25  # of a scale that auto mends, for all scans after it
    points.tofile(folder / "0.bin")
    assert run(["predict", str(folder), *options, str(tmp_path / "new")]) == 0
    capsys.readouterr()

    assert run(["predict", str(folder), *options, str(out), "--resume"]) == 0

    assert "1 scan labelled anew" in capsys.readouterr().err
    for name in ("0.label", "1.label"):
        assert (out / name).read_bytes() == (tmp_path / "new" / name).read_bytes()
    assert run(["predict", str(folder), *options, str(out), "--resume"]) == 0
    assert "2 scans labelled before" in capsys.readouterr().err


def test_fields_that_may_hold_the_intensity_are_named_and_one_is_taken(weights, tmp_path, capsys):
    table = np.zeros(3000, [(name, "<f4") for name in ("x", "y", "z", "rcs")])
    for name, column in zip(("x", "y", "z", "rcs"), spinning_scan(3000).T, strict=True):
        table[name] = column
    np.save(tmp_path / "scan.npy", table)
    line = ["predict", str(tmp_path / "scan.npy"), "--weights", str(weights), "--out", str(tmp_path / "out")]
    assert run(line) == 0
    assert "perhaps set --intensity-field rcs, if that holds it" in capsys.readouterr().err
    assert run([*line, "--overwrite", "--intensity-field", "rcs"]) == 0
    assert "without intensity" not in capsys.readouterr().err
    named = Segmenter.from_weights(weights, device="cpu").segment(spinning_scan(3000)).labels
    labels = np.fromfile(tmp_path / "out/scan.label", "<u4")
    np.testing.assert_array_equal(labels, SEMANTICKITTI.raw_from_class_ids(named))


def test_the_folder_of_a_run_may_stand_for_its_weights(scan, weights, tmp_path):
    (tmp_path / "run").mkdir()
    shutil.copy(weights, tmp_path / "run" / "best.safetensors")
    for name, given in (("a", weights), ("b", tmp_path / "run")):
        assert run(["predict", str(scan), "--weights", str(given), "--out", str(tmp_path / name)]) == 0
    assert (tmp_path / "a/scan.label").read_bytes() == (tmp_path / "b/scan.label").read_bytes()


def test_predict_that_cannot_start_leaves_no_folder(scan, weights, tmp_path, error_of):
    out = tmp_path / "new" / "out"
    assert "precision" in error_of("predict", scan, "--weights", weights, "--out", out, "--precision", "fp8")
    (tmp_path / "cut.bin").write_bytes(scan.read_bytes()[:-3])
    assert run(["predict", str(tmp_path / "cut.bin"), "--weights", str(weights), "--out", str(out)]) == 2
    assert not out.parent.exists()


def test_predict_refuses_two_scans_that_would_share_a_label_file(scan, weights, tmp_path, error_of):
    other = tmp_path / "other" / scan.name
    other.parent.mkdir()
    other.write_bytes(scan.read_bytes())
    assert "would both be written" in error_of("predict", scan, other, "--weights", weights, "--out", tmp_path / "o")


def test_predict_leaves_no_half_label_file_on_a_full_disk(scan, weights, tmp_path):
    line = ["predict", scan, "--weights", weights, "--out", tmp_path / "out"]
    code, output = start_pvd(*line, most_bytes=4096).wait()
    assert code == 2, output
    assert "error: cannot write" in output
    assert [path.name for path in (tmp_path / "out").iterdir()] == [NAME]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_predict_keeps_what_is_done_and_says_so(number, code, scan, weights, tmp_path):
    folder = tmp_path / "scans"
    folder.mkdir()
    for index in range(400):
        (folder / f"{index:06d}.bin").symlink_to(scan)
    out = tmp_path / "out"
    process = start_pvd("predict", folder, "--weights", weights, "--out", out)
    process.wait_until(lambda: (out / "000002.label").exists())
    process.send_signal(number)
    ended_with, output = process.wait()
    assert ended_with == code, output
    (line,) = [line for line in output.splitlines() if line.startswith("interrupted: ")]
    num_kept = int(line.split()[1])
    labels = [path for path in out.iterdir() if path.suffix == ".label"]
    assert len(labels) - num_kept in (0, 1)
    assert all(path.stat().st_size == 4 * 3000 for path in labels)


def test_predict_labels_real_clouds_of_every_format(shared_data, weights, tmp_path, capsys):
    clouds = [
        shared_data / "semantickitti/sequences/08/velodyne/000000.bin",
        shared_data / "pcd/xt32_xyz_only.pcd",
        shared_data / "ika_vlp32_range_images/03bag_1565340704534739_labled.npy",
    ]
    out = tmp_path / "out"
    assert run(["predict", *map(str, clouds), "--weights", str(weights), "--out", str(out), "--picture"]) == 0
    for cloud in clouds:
        assert (out / f"{cloud.stem}.label").stat().st_size == 4 * len(read_cloud(cloud))
        assert (out / f"{cloud.stem}.png").read_bytes().startswith(b"\x89PNG")
    assert "mean of all 19 (official)" in capsys.readouterr().out


def test_predict_on_a_data_set_keeps_its_folders_and_scores_it(shared_data, weights, tmp_path, capsys):
    (tmp_path / "kitti/sequences").mkdir(parents=True)
    (tmp_path / "kitti/sequences/09").symlink_to(shared_data / "semantickitti/sequences/09")
    (tmp_path / "kitti/sequences/07/velodyne").mkdir(parents=True)
    np.zeros((10, 4), "<f4").tofile(tmp_path / "kitti/sequences/07/velodyne/000001.bin")
    out = tmp_path / "out"
    assert run(["predict", str(tmp_path / "kitti"), "--weights", str(weights), "--out", str(out)]) == 0
    assert (out / "sequences/07/predictions/000001.label").read_bytes() == bytes(40)
    raw = np.fromfile(out / "sequences/09/predictions/000000.label", "<u4")
    truth = np.fromfile(shared_data / "semantickitti/sequences/09/labels/000000.label", "<u4")
    assert len(raw) == len(truth)
    num_cars = int((SEMANTICKITTI.class_ids_from_raw(truth) == 1).sum())
    assert f"{num_cars:,}" in capsys.readouterr().out


def test_doubtful_scans_are_remarked_on_once_a_kind(weights, tmp_path, capsys):
    scans = tmp_path / "scans"
    scans.mkdir()
    loud = spinning_scan(24_000)
    loud[:, 3] *= 1e5  # more than 16 bits
    low = spinning_scan(24_000) + np.float32([0, 0, 0.9, 0])
    nothing = np.full_like(loud, np.nan)
    clouds = {"empty": loud[:0], "loud": loud, "low": low, "nothing": nothing, "zeros": 0 * loud}
    for name, points in clouds.items():
        for number in range(2):
            np.save(scans / f"{name}{number}.npy", points)
    line = ["predict", str(scans), "--weights", str(weights), "--out"]
    assert run([*line, str(tmp_path / "out")]) == 0
    printed = capsys.readouterr()
    notes = [text for text in printed.err.splitlines() if text.startswith("note: ")]
    assert "2 of 10 scans: the cloud has no points" in printed.out.splitlines()
    expected = [str(scans / f"{name}0.npy") for name in ("empty", "loud", "low", "nothing")]
    assert [note.split(": ")[1] for note in notes] == expected
    assert "the cloud has no points: look at the sensor and its driver; not said of other scans" in notes[0]
    assert "expected 0..1: perhaps set --intensity-scale 4" in notes[1]
    assert "expected 1.73 m: set --mounting-height 0.8" in notes[2]
    assert "all get label 0" in notes[3]

    scaled = ["--intensity-scale", "0.0000045", "--mounting-height", "0.8"]
    both = [str(scans / "loud0.npy"), str(scans / "low0.npy")]
    assert run(["predict", *both, *line[2:], str(tmp_path / "scaled"), *scaled]) == 0
    (note,) = [text for text in capsys.readouterr().err.splitlines() if text.startswith("note: ")]
    assert "low0.npy: intensity reaches 0.9 (4.05e-06 when multiplied by 4.5e-06)" in note


def test_a_folder_of_byte_intensities_is_labelled_as_the_same_scans_scaled(weights, tmp_path, capsys):
    for name, factor in (("unit", 0.4 / 0.9), ("byte", 255)):  # 95 % of the scan's intensities are below 0.9
        for number in range(2):
            points = spinning_scan(24_000)
            points[:, 3] = np.rint(points[:, 3] * 255) / 255 * factor
            (tmp_path / name).mkdir(exist_ok=True)
            points.tofile(tmp_path / name / f"{number}.bin")
        out = tmp_path / f"{name}_labels"
        assert run(["predict", str(tmp_path / name), "--weights", str(weights), "--out", str(out)]) == 0
    notes = [text for text in capsys.readouterr().err.splitlines() if text.startswith("note: ")]
    assert len(notes) == 1
    assert "0.bin: intensity reaches 2" in notes[0]
    for number in range(2):
        one, other = (np.fromfile(tmp_path / f"{name}_labels/{number}.label", "<u4") for name in ("unit", "byte"))
        assert (one == other).mean() > 0.99


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--intensity-scale", "automatic"], "intensity scale 'automatic': expected auto or a number"),
        (["--mounting-height", "nan"], "mounting height nan: expected a number from -100 to 100 (metres)"),
        (["--mounting-yaw", "500"], "mounting yaw 500: expected a number from -360 to 360 (degrees)"),
    ],
)
@pytest.mark.parametrize("command", ["predict", "label-bag", "evaluate", "view"])
def test_wrong_scales_and_mountings_are_refused_in_one_line(command, options, words, tmp_path, capsys):
    spinning_scan(100).tofile(tmp_path / "scan.bin")
    out = {"predict": ["--out", str(tmp_path / "o")], "label-bag": [str(tmp_path / "o")]}.get(command, [])
    assert run([command, str(tmp_path / "scan.bin"), *out, *options]) == 2
    assert words in capsys.readouterr().err


def test_labels_of_another_taxonomy_are_named_and_not_scored(shared_data, weights, tmp_path, capsys):
    scan = shared_data / "nuscenes/scene-1072/velodyne/000000.bin"
    assert run(["predict", str(scan), "--weights", str(weights), "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr()
    assert "labels beside the scans not used" in printed.err
    assert "mean of all 19" not in printed.out
