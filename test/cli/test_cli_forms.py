"""The `pvd` command line: its forms, the examples of its help, and what it says of mistakes."""

import inspect
import re
import shlex
import subprocess
import sys

import pytest
import typer

from pvd_cli import cloud_options, options
from pvd_cli.checks.weights import check_weights
from pvd_cli.commands.ablate import ablate
from pvd_cli.commands.balance import balance
from pvd_cli.commands.bench import bench
from pvd_cli.commands.evaluate import evaluate
from pvd_cli.commands.label_bag import label_bag
from pvd_cli.commands.predict import predict
from pvd_cli.commands.pseudo_label import pseudo_label
from pvd_cli.commands.submit import submit
from pvd_cli.commands.view import view
from pvd_cli.commands.without_intensity import without_intensity
from pvd_cli.empty_paths import check_no_empty_path
from pvd_cli.main import COMMANDS, app, run
from pvd_cli.version import program_version
from pvd_core.segmenter import Segmenter
from pvd_core.weights import ExpectedCloud

NAMES = [command.__name__.replace("_", "-") for command in COMMANDS]


PROMISED = (
    "pvd convert OFFICIAL.pt OUT.safetensors --layout spconv1 --kernels as_trained",
    "pvd convert OFFICIAL.pt OUT.safetensors --layout spconv2 --kernels as_written",
    "pvd convert OFFICIAL.pt OUT.safetensors --layout spconv1 --kernels as_trained --dataset semantickitti",
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


def parsed(line):
    """Lets the command line parser read a line without running the command."""
    name, *arguments = shlex.split(line)[1:]
    command = typer.main.get_command(app).commands[name]
    with command.make_context(name, arguments) as context:
        return context.params


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
    result = subprocess.run([sys.executable, "-m", "pvd_cli", "--help"], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0
    assert "predict" in result.stdout


def test_every_option_of_predict_has_help():
    params = typer.main.get_command(app).commands["predict"].params
    assert {param.name for param in params} >= predict.__annotations__.keys() - {"return"}
    assert all(param.help for param in params if param.name != "help")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("predict nothing.bin --out {tmp}/out", "nothing.bin: no such file or folder"),
        ("predict {scan}", "Missing option '--out'"),
        ("predict {scan} --out {tmp}/out --weights {tmp}/none.safetensors", "does not exist"),
        ("predict {scan} --out {tmp}/out --weights {scan}", "not a whole safetensors file"),
        ("predict {scan} --out {tmp}/out --weights {tmp}", "holds no weights: expected best.safetensors"),
        ("predict {scan} --out {tmp}/out --weights {weights} --device tpu", "'--device': 'tpu': expected auto"),
        ("predict {scan} --out {tmp}/out --weights {weights} --precision fp7", "'--precision': 'fp7': expected auto"),
        ("predict {scan} --out {tmp}/out --weights {weights} --threads -1", "'--threads'"),
        ("view {scan} --weights {weights} --precision fp7", "'--precision': 'fp7'"),
        ("submit {tmp} --weights {weights} --out {tmp}/s.zip --device tpu", "'--device': 'tpu'"),
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
        ("label-bag {scan} {tmp}/out --weights {weights} --topic /t", "is a scan, not a bag"),
        ("play-bag {tmp}/none --topic /t", "no bag at"),
        ("convert {tmp}/none.pt {tmp}/o.safetensors --layout spconv1 --kernels as_trained", "does not exist"),
        ("convert {scan} {tmp}/o.safetensors --layout spconv3 --kernels as_trained", "--layout spconv3: expected one"),
        ("convert {scan} {tmp}/o.pt --layout spconv1 --kernels as_trained", "name a .safetensors file"),
        ("convert {scan} {tmp}/o.safetensors --layout spconv1", "--layout spconv1 needs --kernels"),
        ("convert {scan} {tmp}/o.safetensors --layout torchsparse", "needs --architecture: one of minkunet, spvcnn"),
        ("convert {scan} {tmp}/o.safetensors --layout torchsparse --architecture spvnas", "comes with a net.config"),
        (
            "convert {scan} {tmp}/o.safetensors --layout torchsparse --architecture spvcnn --kernels as_trained",
            "--kernels is for checkpoints of Cylinder3D",
        ),
        (
            "convert {scan} {tmp}/o.safetensors --layout spconv1 --kernels as_trained --architecture spvcnn",
            "go with --layout torchsparse",
        ),
        ("convert {scan} {weights} --layout spconv1 --kernels as_trained", "exists already"),
        ("convert {scan} {tmp}/o.safetensors --layout spconv1 --kernels as_trained --dataset waymo", "supported yet"),
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
def test_mistakes_end_in_one_clear_line_and_exit_code_2(line, message, tmp_path, scan, weights, error_of):
    words = line.format(tmp=tmp_path, scan=scan, weights=weights).split()
    assert message in error_of(*words)


@pytest.mark.parametrize(
    "line",
    [
        ["evaluate", "data", "--json", "there"],
        ["evaluate", "data", "--json", "nowhere/result.json"],
        ["view", "scan.bin", "--gif", "nowhere/drive.gif"],
        ["view", "scan.bin", "--affinity", "nowhere/affinity.png"],
        ["doctor", "--json", "nowhere/doctor.json"],
        ["dataset", "check", "data", "--json", "nowhere/check.json"],
        ["bench", "scan.bin", "--json", "nowhere/bench.json"],
        ["balance", "data", "--weights", "w", "--out", "nowhere/mine.safetensors"],
        ["convert", "old.pt", "nowhere/mine.safetensors", "--layout", "spconv2"],
        ["submit", "data", "--out", "file/new.zip"],
        ["simulate", "data", "--bag", "file/bag"],
        ["simulate", "data", "--bag", "bag", "--topic", "2nd"],
        ["label-bag", "in", "out", "--labelled-topic", "/a//b"],
    ],
)
def test_what_could_not_be_written_at_the_end_is_refused_at_the_start(line, tmp_path, monkeypatch, error_of):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    (tmp_path / "file").touch()
    message = error_of(*line)
    assert any(words in message for words in ("is a folder", "cannot write", "is no topic name"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "there"]


@pytest.mark.parametrize("command", ["predict {scan} --out {scan}", "view {scan} --png {scan}"])
def test_a_file_as_the_output_folder_is_refused_at_once(scan, capsys, command):
    before = scan.read_bytes()
    assert run(shlex.split(command.format(scan=scan))) == 2
    assert "is a file; name a folder" in capsys.readouterr().err
    assert scan.read_bytes() == before


def test_bugs_are_not_dressed_up_as_user_errors(monkeypatch, scan, weights, tmp_path):
    def broken(*_):
        raise KeyError("a bug")

    monkeypatch.setattr(Segmenter, "segment", broken)
    with pytest.raises(KeyError):
        run(["predict", str(scan), "--weights", str(weights), "--out", str(tmp_path / "out")])


def test_missing_optional_package_is_named_with_its_extra(monkeypatch, scan, weights, tmp_path, error_of):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "pvd_cli.picture", raising=False)
    line = ["predict", scan, "--weights", weights, "--out", tmp_path / "out", "--picture"]
    message = error_of(*line)
    assert "matplotlib" in message
    assert "pip install 'pvd_ros[view]'" in message


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (["predict", "", "--out", "labels"], "an argument"),
        (["predict", "--overwrite", "", "--out", "labels"], "an argument"),
        (["predict", "scan.bin", "--out", ""], "--out"),
        (["predict", "scan.bin", "--out="], "--out"),
        (["predict", "scan.bin", "--out", "labels", "--weights", ""], "--weights"),
        (["view", "scan.bin", "--png="], "--png"),
        (["bench", ""], "an argument"),
        (["bench", "scan.bin", "--json", ""], "--json"),
        (["evaluate", "", "--split", "08"], "an argument"),
        (["doctor", "--json", ""], "--json"),
        (["convert", "", "out.safetensors"], "an argument"),
        (["train", "--resume", ""], "--resume"),
        (["label-bag", "in", ""], "an argument"),
        (["dataset", "", ""], "an argument"),
    ],
)
def test_empty_paths_are_refused_and_not_taken_for_the_present_folder(line, what, tmp_path, monkeypatch, error_of):
    monkeypatch.chdir(tmp_path)
    assert f"error: {what} is empty: name a file or folder" in error_of(*line)
    assert list(tmp_path.iterdir()) == []


def test_texts_may_be_empty_as_if_left_out():
    check_no_empty_path(ablate, ["grid.yaml", "--data", "d", "--out", "o", "--seeds", "", "--only="])


def test_version_is_printed(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"pvd {program_version()}\n"
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", program_version())


@pytest.mark.parametrize(("number", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_at_any_moment_ends_a_command_with_its_exit_code(number, code):
    # Within the command, but outside of all that expects an interrupt.
    script = f"""
import os, signal, time
from pvd_cli import __main__, main
@main.app.command("stopped")
def stopped():
    os.kill(os.getpid(), signal.{number})
    time.sleep(60)
main.sys.argv = ["pvd", "stopped"]
__main__.main()
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert result.returncode == code
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("what", "of"),
    [
        ("print('one')", "stdout"),
        ("print('one', flush=True)", "stdout"),
        ("typer.echo('one')", "stdout"),
        ("rich.console.Console().print('one')", "stdout"),
        ("print('one'); raise UserError('two')", "stdout"),
        ("raise UserError('two')", "stderr"),
    ],
)
def test_a_reader_that_has_seen_enough_ends_a_command_without_a_word(what, of):
    script = f"""
import rich.console, typer
from pvd_cli import __main__, main
from pvd_cli.errors import interruptible
from pvd_core.borders.errors import UserError
@main.app.command("talk")
def talk():
    with interruptible(lambda: "not interrupted"):
        {what}
main.sys.argv = ["pvd", "talk"]
__main__.main()
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    getattr(process, of).close()
    assert process.wait(timeout=120) == 141
    with process.stderr if of == "stdout" else process.stdout as other:
        assert other.read() in (b"", b"error: two\n")


def test_help_of_predict_says_what_the_doctor_says_of_clouds(capsys):
    assert run(["predict", "--help"]) == 0
    assert str(ExpectedCloud()) in " ".join(capsys.readouterr().out.split())
    (finding,) = (each for each in check_weights() if each.name == "expected cloud")
    assert finding.found == str(ExpectedCloud())


SHARED = {
    # Two must have some; the others take several, one of them to show side by side.
    "weights": (
        options.Weights,
        {"balance", "without_intensity", "view", "predict", "label_bag", "evaluate", "submit"},
    ),
    "device": (options.Device, set()),
    "precision": (options.Precision, {"bench"}),  # several
    "threads": (options.Threads, {"bench"}),  # several
    "intensity_scale": (cloud_options.IntensityScale, set()),
    "mounting_height": (cloud_options.MountingHeight, set()),
    "mounting_roll": (cloud_options.MountingRoll, set()),
    "mounting_pitch": (cloud_options.MountingPitch, set()),
    "mounting_yaw": (cloud_options.MountingYaw, set()),
    "columns": (options.Columns, set()),
    "votes": (options.Votes, set()),
}


@pytest.mark.parametrize("command", [predict, label_bag, view, evaluate, submit, balance, without_intensity, bench])
def test_options_that_mean_the_same_are_declared_in_one_place(command):
    declared = inspect.get_annotations(command)
    name = command.__name__
    own = {option for option, (_, others) in SHARED.items() if name in others}
    used = SHARED.keys() & declared.keys() - own
    assert used
    assert {option: declared[option] for option in used} == {option: SHARED[option][0] for option in used}


@pytest.mark.parametrize("command", [predict, label_bag, evaluate, submit, pseudo_label])
def test_weights_that_label_together_are_declared_in_one_place(command):
    assert inspect.get_annotations(command)["weights"] == options.SeveralWeights
