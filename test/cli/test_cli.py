"""The `pvd` command line: its forms, its examples, its errors, and what the commands do with real files."""

import json
import os
import resource
import shlex
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import typer
from ros_weights import tiny_weights
from tiny_dataset import TINY_MODEL, write_dataset

from pvd_cli.checks.hardware import check_gpu
from pvd_cli.commands.predict import predict
from pvd_cli.main import COMMANDS, app, run
from pvd_core.clouds import read_cloud
from pvd_core.segmenter import Segmenter
from pvd_core.taxonomy import RAW_NAMES, class_ids_from_raw, raw_from_class_ids

NAMES = [command.__name__.replace("_", "-") for command in COMMANDS]
PROMISED = (
    "pvd convert OFFICIAL.pt OUT.safetensors --layout spconv1 --kernels as_trained",
    "pvd convert OFFICIAL.pt OUT.safetensors --layout spconv2 --kernels as_written",
    "pvd predict A.bin B.npy folder --weights W --out DIR",
    "pvd evaluate DATASET --weights W --split valid --json FILE",
    "pvd bench A.bin B.bin --weights W --device cpu --backends reference,spconv,triton --precision fp32,bf16 --json F",
    "pvd bench A.bin --model cylinder3d-0.5x --device cpu",
    "pvd label-bag IN OUT --weights W --topic T",
    "pvd play-bag IN --topic T --rate 2.0",
    "pvd simulate OUT --scans 3 --sequences 00,08 --seed 1 --bag FILE",
    "pvd compare REAL SIMULATED --out FOLDER --max-scans 20",
    "pvd dataset simulated OUT --split valid,test",
    "pvd evaluate DATASET --benchmark simulated --split test",
    "pvd balance DATASET --weights W --out W2 --max-scans 100",
)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return tiny_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def scan(tmp_path):
    """A .bin file with a no-return point and a NaN point in it, and what it holds."""
    points = np.random.default_rng(0).uniform((-30, -30, -2, 0), (30, 30, 1, 1), (3000, 4)).astype(np.float32)
    points[5, :3], points[7] = 0, np.nan
    path = tmp_path / "scan.bin"
    points.tofile(path)
    return path


def parsed(line):
    """Lets the command line parser read a line without running the command."""
    name, *arguments = shlex.split(line)[1:]
    command = typer.main.get_command(app).commands[name]
    with command.make_context(name, arguments) as context:
        return context.params


def error_of(capsys, *arguments):
    """Runs a command that must fail; the one line it prints."""
    assert run([str(argument) for argument in arguments]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    return lines[0]


def test_help_lists_every_command(capsys):
    assert run(["--help"]) == 0
    listed = capsys.readouterr().out
    assert all(f"\n  {name}" in listed for name in NAMES)
    assert run([]) == 0
    assert capsys.readouterr().out == listed


@pytest.mark.parametrize("name", NAMES)
def test_examples_in_help_are_command_lines_that_parse(name, capsys):
    assert run([name, "--help"]) == 0
    text = capsys.readouterr().out
    examples = [line.strip() for line in text.splitlines() if line.startswith(f"    pvd {name}")]
    assert examples, "no worked example"
    for example in examples:
        parsed(example)


@pytest.mark.parametrize("line", PROMISED)
def test_promised_forms_parse(line):
    assert parsed(line)


def test_promised_scripts_find_the_command_in_the_environment():
    result = subprocess.run([sys.executable, "-m", "pvd_cli", "--help"], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0
    assert "predict" in result.stdout


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("predict nothing.bin --out {tmp}/out", "nothing.bin: no such file or folder"),
        ("predict {scan}", "Missing option '--out'"),
        ("predict {scan} --out {tmp}/out --weights {tmp}/none.safetensors", "does not exist"),
        ("predict {scan} --out {tmp}/out --weights {scan}", "not a whole safetensors file"),
        ("predict {scan} --out {tmp}/out --weights {weights} --device tpu", "'tpu'"),
        ("predict {scan} --out {tmp}/out --weights {weights} --precision fp7", "fp7"),
        ("predict {scan} --out {scan}/out --weights {weights}", "cannot write"),
        ("predict {scan} --wieghts x --out y", "No such option"),
        ("predikt", "predict"),
        ("train {tmp}/none --out {tmp}/run", "does not exist"),
        ("train", "name the DATASET"),
        ("train {tmp}", "--out"),
        ("train {tmp} --out {tmp}/run --set optimizer.learning_rat=1", "learning_rate"),
        ("train --resume {tmp}/none", "no training run"),
        ("train {tmp} --resume {tmp}", "leave out DATASET"),
        ("evaluate {tmp} --weights {weights}", "sequences"),
        ("label-bag {tmp}/none {tmp}/out --weights {weights} --topic /t", "no bag at"),
        ("label-bag {scan} {tmp}/out --weights {weights} --topic /t", "cannot read bag"),
        ("play-bag {tmp}/none --topic /t", "no bag at"),
        ("convert {tmp}/none.pt {tmp}/o.safetensors --layout spconv1 --kernels as_trained", "does not exist"),
        ("convert {scan} {tmp}/o.safetensors --layout spconv3 --kernels as_trained", "scan.bin"),
        ("bench {scan} --model cylinder3d-9x", "cylinder3d-9x"),
        ("bench {scan} --model cylinder3d-0.5x --weights {weights}", "one of the two"),
        ("bench {scan} --weights {weights} --backends magic", "magic"),
        ("bench {scan} --weights {weights} --backends ,", "--backends is empty"),
        ("bench {scan} --weights {weights} --threads two", "--threads two"),
        ("bench {scan} --weights {weights} --threads 1,-2", "--threads 1,-2"),
        ("bench {scan} --weights {weights} --growth --points 0", "--points 0"),
        ("bench {scan} --weights {weights} --points 100", "--points 100 is for --growth"),
        ("bench {scan} --weights {weights} --batch ,", "--batch is empty"),
        ("bench {scan} --weights {weights} --device cpu --precision fp16", "fp16"),
        ("bench {scan} --weights {weights} --pool --layers", "--pool is for the main table"),
        ("bench {scan} --json {scan}", "exists already"),
        ("bench {scan} --json {scan}/bench.json", "cannot write"),
        ("bench {scan} --markdown {tmp}", "is a folder"),
        ("bench {scan} --json {tmp}/b --markdown {tmp}/b", "name two files"),
        ("simulate {scan}", "scan.bin"),
        ("simulate {tmp}/new --sequences 77", "'77'"),
        ("simulate {tmp}/new --sequences 00,08 --bag {tmp}/bag", "--bag holds one drive"),
        ("simulate {tmp}/new --bag {scan}", "exists already"),
    ],
)  # fmt: skip
def test_mistakes_end_in_one_clear_line_and_exit_code_2(line, message, tmp_path, scan, weights, capsys):
    words = line.format(tmp=tmp_path, scan=scan, weights=weights).split()
    assert message in error_of(capsys, *words)


def test_bugs_are_not_dressed_up_as_user_errors(monkeypatch, scan, weights, tmp_path):
    def broken(*_):
        raise KeyError("a bug")

    monkeypatch.setattr(Segmenter, "segment", broken)
    with pytest.raises(KeyError):
        run(["predict", str(scan), "--weights", str(weights), "--out", str(tmp_path / "out")])


def test_predict_writes_what_the_segmenter_says_as_raw_ids_in_input_order(scan, weights, tmp_path, capsys):
    out = tmp_path / "deep" / "out"
    assert run(["predict", str(scan), "--weights", str(weights), "--out", str(out)]) == 0
    raw = np.fromfile(out / "scan.label", "<u4")
    expected = Segmenter.from_weights(weights, device="cpu").segment(read_cloud(scan)).labels
    np.testing.assert_array_equal(raw, raw_from_class_ids(expected))
    assert set(np.unique(raw)) <= RAW_NAMES.keys()
    assert raw[5] == raw[7] == 0
    printed = capsys.readouterr().out
    assert "1 scan labelled, 0 failed" in printed
    assert "p99" in printed


def test_predict_goes_on_after_a_bad_file_and_says_so_at_the_end(scan, weights, tmp_path, capsys):
    (tmp_path / "cut.bin").write_bytes(scan.read_bytes()[:-3])
    out = tmp_path / "out"
    inputs = [str(tmp_path / "cut.bin"), str(scan)]
    assert run(["predict", *inputs, "--weights", str(weights), "--out", str(out)]) == 2
    printed = capsys.readouterr()
    assert "cut.bin: 47997 bytes found" in printed.err
    assert "1 scan labelled, 1 failed" in printed.out
    assert (out / "scan.label").stat().st_size == 4 * 3000
    assert not (out / "cut.label").exists()


def test_predict_does_not_overwrite_unless_told_to(scan, weights, tmp_path, capsys):
    arguments = ["predict", str(scan), "--weights", str(weights), "--out", str(tmp_path)]
    (tmp_path / "scan.label").write_text("mine")
    assert "exists already" in error_of(capsys, *arguments)
    assert (tmp_path / "scan.label").read_text() == "mine"
    assert run([*arguments, "--overwrite"]) == 0
    assert (tmp_path / "scan.label").stat().st_size == 4 * 3000


def test_predict_goes_on_where_it_stopped_and_scores_everything(scan, weights, tmp_path, capsys):
    folder, out = tmp_path / "sequences/08/velodyne", tmp_path / "out"
    folder.mkdir(parents=True)
    (tmp_path / "sequences/08/labels").mkdir()
    for number in range(3):
        (folder / f"{number:06d}.bin").symlink_to(scan)
        np.full(3000, 40, "<u4").tofile(tmp_path / f"sequences/08/labels/{number:06d}.label")
    arguments = ["predict", str(folder), "--weights", str(weights), "--out", str(out)]
    assert run(arguments) == 0
    whole = capsys.readouterr().out
    kept, missing = sorted(out.iterdir())[:2]
    missing.unlink()
    before = kept.stat().st_mtime_ns

    assert run([*arguments, "--resume"]) == 0

    printed = capsys.readouterr()
    assert "3 scans labelled, 0 failed" in printed.out
    assert "2 scans labelled before" in printed.err
    (score,) = (line for line in whole.splitlines() if "road" in line.split())
    assert score in printed.out
    assert missing.stat().st_size == 4 * 3000
    assert kept.stat().st_mtime_ns == before
    assert run([*arguments, "--resume"]) == 0
    capsys.readouterr()
    assert "give one of the two" in error_of(capsys, *arguments, "--resume", "--overwrite")

    kept.write_bytes(kept.read_bytes()[:-40])
    assert run([*arguments, "--resume"]) == 0
    assert "1 scan labelled anew" in capsys.readouterr().err
    assert kept.stat().st_size == 4 * 3000
    np.full(3000, 3, "<u4").tofile(kept)
    assert str(kept) in error_of(capsys, *arguments, "--resume")
    kept.unlink()
    kept.mkdir()
    assert "is a folder" in error_of(capsys, *arguments, "--resume")


def test_predict_refuses_two_scans_that_would_share_a_label_file(scan, weights, tmp_path, capsys):
    other = tmp_path / "other" / scan.name
    other.parent.mkdir()
    other.write_bytes(scan.read_bytes())
    assert "would both be written" in error_of(
        capsys, "predict", scan, other, "--weights", weights, "--out", tmp_path / "o"
    )


def test_predict_leaves_no_half_label_file_on_a_full_disk(scan, weights, tmp_path):
    def limit_file_size():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    command = [sys.executable, "-m", "pvd_cli", "predict", scan, "--weights", weights, "--out", tmp_path / "out"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, preexec_fn=limit_file_size)
    assert result.returncode == 2
    assert result.stderr.startswith("error: cannot write")
    assert list((tmp_path / "out").iterdir()) == []


def test_interrupted_predict_keeps_what_is_done_and_says_so(scan, weights, tmp_path):
    folder = tmp_path / "scans"
    folder.mkdir()
    for index in range(400):
        (folder / f"{index:06d}.bin").symlink_to(scan)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "pvd_cli", "predict", folder, "--weights", weights, "--out", out]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    deadline = time.monotonic() + 60
    while not (out / "000002.label").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors.startswith("interrupted: ")
    num_kept = int(errors.split()[1])
    labels = [path for path in out.iterdir() if path.suffix == ".label"]
    assert len(labels) - num_kept in (0, 1)
    assert all(path.stat().st_size == 4 * 3000 for path in labels)


def test_predict_labels_real_clouds_of_every_format(shared_data, weights, tmp_path, capsys):
    clouds = [
        shared_data / "semantickitti/sequences/08/velodyne/000000.bin",
        shared_data / "pcd/pandar128_organised_1875x128.pcd",
        shared_data / "pcd/xt32_xyz_only.pcd",
        shared_data / "ika_vlp32_range_images/03bag_1565340704534739_labled.npy",
        shared_data / "rellis3d/000104.bin",
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
    num_cars = int((class_ids_from_raw(truth) == 1).sum())
    assert f"{num_cars:,}" in capsys.readouterr().out


def test_doubtful_scans_are_remarked_on_once_a_kind(weights, tmp_path, capsys):
    scans = tmp_path / "scans"
    scans.mkdir()
    loud = np.random.default_rng(0).uniform((-9, -9, -2, 0), (9, 9, 1, 255), (500, 4)).astype("<f4")
    clouds = {"empty": loud[:0], "loud": loud, "nothing": np.full_like(loud, np.nan), "zeros": 0 * loud}
    for name, points in clouds.items():
        for number in range(2):
            points.tofile(scans / f"{name}{number}.bin")
    line = ["predict", str(scans), "--weights", str(weights), "--out"]
    assert run([*line, str(tmp_path / "out")]) == 0
    notes = [text for text in capsys.readouterr().err.splitlines() if text.startswith("note: ")]
    expected = [str(scans / f"{name}0.bin") for name in ("empty", "loud", "nothing")]
    assert [note.split(": ")[1] for note in notes] == expected
    assert "there is no point in it; not said" in notes[0]
    assert f"intensity reaches {loud[:, 3].max():g}, expected 0..1: set --intensity-scale, 0.00392157" in notes[1]
    assert "all get label 0" in notes[2]

    assert run([*line, str(tmp_path / "scaled"), "--intensity-scale", "0.00392157"]) == 0
    assert "intensity" not in capsys.readouterr().err


def test_labels_of_another_taxonomy_are_named_and_not_scored(shared_data, weights, tmp_path, capsys):
    scan = shared_data / "nuscenes/scene-1072/velodyne/000000.bin"
    assert run(["predict", str(scan), "--weights", str(weights), "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr()
    assert "labels beside the scans not used" in printed.err
    assert "mean of all 19" not in printed.out


def test_simulated_drive_goes_through_bag_labelling_and_evaluation(weights, tmp_path, capsys):
    data, bag, labelled = tmp_path / "data", tmp_path / "bag", tmp_path / "labelled"
    assert run(["simulate", str(data), "--scans", "2", "--seed", "3", "--bag", str(bag), "--topic", "/lidar"]) == 0
    assert len(list((data / "sequences/08/velodyne").glob("*.bin"))) == 2
    assert run(["label-bag", str(bag), str(labelled), "--weights", str(weights), "--topic", "/lidar"]) == 0
    assert "2 of 2 clouds labelled" in capsys.readouterr().out
    result_file = tmp_path / "deep" / "result.json"
    line = ["evaluate", str(data), "--weights", str(weights), "--split", "valid", "--json", str(result_file)]
    assert run(line) == 0
    result = json.loads(result_file.read_text())
    assert {"miou", "iou", "num_points"} <= result.keys()
    assert len(result["iou"]) == 19
    assert run([*line[:-4], "--split", "08", "--max-scans", "1"]) == 0
    assert "finished simulation" in error_of(capsys, "simulate", data, "--scans", "2")


@pytest.mark.parametrize(
    "line",
    [
        ["evaluate", "data", "--json", "there"],
        ["submit", "data", "--out", "file/new.zip"],
        ["simulate", "data", "--bag", "file/bag"],
        ["simulate", "data", "--bag", "bag", "--topic", "2nd"],
        ["label-bag", "in", "out", "--labelled-topic", "/a//b"],
    ],
)
def test_what_could_not_be_written_at_the_end_is_refused_at_the_start(line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    (tmp_path / "file").touch()
    message = error_of(capsys, *line)
    assert any(words in message for words in ("is a folder", "cannot write", "is no topic name"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "there"]


def test_labelled_bag_holds_what_predict_says(shared_data, weights, tmp_path):
    from pvd_cli.bags import write_sequence_bag
    from pvd_ros.bags import read_clouds

    bag, labelled, out = tmp_path / "bag", tmp_path / "labelled", tmp_path / "out"
    scan = shared_data / "semantickitti/sequences/09/velodyne/000000.bin"
    assert write_sequence_bag(scan.parent.parent, bag, "/points") == 1
    assert run(["label-bag", str(bag), str(labelled), "--weights", str(weights), "--topic", "/points"]) == 0
    assert run(["predict", str(scan), "--weights", str(weights), "--out", str(out)]) == 0
    (cloud,) = read_clouds(labelled, "/points/labelled")
    labels = np.frombuffer(bytes(cloud.message.data), "<u4").reshape(-1, 7)[:, 6]
    np.testing.assert_array_equal(raw_from_class_ids(labels), np.fromfile(out / "000000.label", "<u4"))


def test_train_dry_run_trains_and_leaves_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    small = ["model.width=2", "model.grid.shape=[40,30,8]", "num_threads=1"]
    assert run(["train", "--dry-run", *(word for key in small for word in ("--set", key))]) == 0
    assert "dry run ended well: 3 steps" in capsys.readouterr().out
    assert [path for path in tmp_path.iterdir() if path.name.startswith("pvd_dry_run")] == []


def test_train_dry_run_takes_the_data_and_the_settings_that_are_given(tmp_path, capsys):
    data = write_dataset(tmp_path / "data", {"00": 2, "08": 1})
    config = tmp_path / "config.yaml"
    config.write_text(f"model: {json.dumps(TINY_MODEL)}\nepochs: 40\nbatch_size: 2\nnum_threads: 1\n")
    line = ["train", str(data), "--config", str(config), "--dry-run"]
    assert run(line) == 0
    printed = "".join(capsys.readouterr())
    assert "dry run ended well: 3 steps" in printed
    assert f"{data}: 2 scans of sequences 00" in printed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.yaml", "data"]

    assert "unknown" in error_of(capsys, *line, "--set", "optimizer.speed=1")
    assert "nowhere" in error_of(capsys, "train", tmp_path / "nowhere", "--dry-run")
    assert "leave out --out" in error_of(capsys, *line, "--out", tmp_path / "run")
    assert "--time 3" in error_of(capsys, "distill", data, "--dry-run")


def test_doctor_tells_what_is_there_and_what_to_do_about_the_rest(tmp_path, capsys):
    path = tmp_path / "doctor.json"
    code = run(["doctor", "--json", str(path)])
    findings = {finding["name"]: finding for finding in json.loads(path.read_text())}
    expected = "python torch cpu gpu spconv triton open3d rosbags disk"
    assert {*expected.split(), "bf16 on cpu", "ros 2", "default weights"} <= findings.keys()
    assert findings["python"]["is_present"]
    assert all(finding["remedy"] for finding in findings.values() if not finding["is_present"])
    assert (code == 0) == all(f["is_present"] for f in findings.values() if f["is_needed"])
    assert "scans" in capsys.readouterr().out.splitlines()[-1]


def test_doctor_tells_of_an_spconv_that_cannot_use_the_gpu(monkeypatch):
    if not pytest.importorskip("spconv.cppconstants").CPU_ONLY_BUILD:
        pytest.skip("the spconv installed here is built for CUDA")
    spconv = {finding.name: finding for finding in check_gpu()}["spconv"]
    assert spconv.is_present

    # The machine gets a GPU; all else is real.
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    spconv = {finding.name: finding for finding in check_gpu()}["spconv"]

    assert not spconv.is_present
    assert "CPU-only" in spconv.found
    assert spconv.remedy == "pip uninstall spconv cumm, then pip install 'pvd_ros[gpu]'"


def test_doctor_names_what_a_bare_machine_lacks():
    """Without site-packages: only what is needed to print is put back."""
    script = "import sys; from pvd_cli.main import run; sys.exit(run(['doctor']))"
    blocker = "import sys; sys.modules.update(dict.fromkeys(['open3d', 'rclpy', 'rosbags', 'matplotlib']));"
    result = subprocess.run(
        [sys.executable, "-c", blocker + script], capture_output=True, text=True, timeout=120, env=os.environ
    )
    assert "Traceback" not in result.stderr
    assert result.returncode == 0


def test_missing_optional_package_is_named_with_its_extra(monkeypatch, scan, weights, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "pvd_cli.picture", raising=False)
    line = ["predict", scan, "--weights", weights, "--out", tmp_path / "out", "--picture"]
    message = error_of(capsys, *line)
    assert "matplotlib" in message
    assert "pip install 'pvd_ros[view]'" in message


def test_every_option_of_predict_has_help():
    params = typer.main.get_command(app).commands["predict"].params
    assert {param.name for param in params} >= set(predict.__annotations__)
    assert all(param.help for param in params if param.name != "help")


@pytest.mark.parametrize("command", ["predict {scan} --out {scan}", "view {scan} --png {scan}"])
def test_a_file_as_the_output_folder_is_refused_at_once(scan, capsys, command):
    before = scan.read_bytes()
    assert run(shlex.split(command.format(scan=scan))) == 2
    assert "is a file; name a folder" in capsys.readouterr().err
    assert scan.read_bytes() == before
