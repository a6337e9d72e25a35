"""`make` and set-up: what they find on the machine, and what they refuse before anything is installed."""

import ast
import inspect
import math
import subprocess
import sys
from pathlib import Path

import pytest

from pvd_cli.commands.demo import demo

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "scripts"

_OTHER_PYTHON = """
import runpy, sys
sys.version_info = ({major}, {minor}, 0, "final", 0)
sys.path.insert(0, {scripts!r})
runpy.run_path({scripts!r} + "/start_set_up.py", run_name="__main__")
"""


def _make(*arguments):
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def _program(path):
    """A program that says what it was called with."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('#!/bin/sh\nprintf "<%s>" "$@"; echo\n')
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(("major", "minor"), [(3, 8), (3, 9), (3, 14)])
@pytest.mark.parametrize(
    ("installed", "advice"),
    [
        (["python3.12", "python3.10", "python3.9"], "name another one: make PYTHON=python3.12 ..."),
        ([], "no other one is on PATH: install one, then make PYTHON=python3.13 ..."),
    ],
)
def test_python_that_is_too_old_or_too_new_is_refused_with_one_that_is_there(major, minor, installed, advice, tmp_path):
    for name in installed:
        _program(tmp_path / name)
    script = _OTHER_PYTHON.format(major=major, minor=minor, scripts=str(SCRIPTS))
    environment = {"PATH": str(tmp_path)}
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert result.returncode == 1
    assert f"error: Python {major}.{minor} found, 3.10 to 3.13 expected; {advice}" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_check_of_the_version_is_read_by_python_2():
    source = (SCRIPTS / "start_set_up.py").read_bytes()
    newer = (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.FunctionDef, ast.Starred)
    assert source.isascii()
    assert [node for node in ast.walk(ast.parse(source)) if isinstance(node, newer)] == []


def test_python_in_a_folder_with_spaces_is_called(tmp_path):
    result = _make("setup", f"PYTHON={_program(tmp_path / 'my tools' / 'python')}")
    assert result.stdout == "<scripts/start_set_up.py><test>\n"


@pytest.mark.parametrize("name", ["", "python3.99"])
def test_python_that_is_not_there_is_named_with_those_that_serve(name):
    result = _make("setup", f"PYTHON={name}")
    assert result.returncode != 0
    expected = f"error: PYTHON={name}: no such program; the name of a Python from 3.10 to 3.13 expected"
    assert result.stderr.startswith(expected)


def test_settings_are_handed_on_as_they_are(tmp_path):
    _program(tmp_path / "venv/bin/pvd")
    settings = ["SECONDS=1;touch x", "RATE=2 3", "SCANS=1|2"]
    result = _make("demo", f"PYTHON={_program(tmp_path / 'python')}", f"BIN={tmp_path}/venv/bin", *settings)
    checked, started = result.stdout.splitlines()
    assert "<RATE=2 3><SECONDS=1;touch x><SCANS=1|2>" in checked
    assert started == "<demo><--rate><2 3><--seconds><1;touch x><--scans><1|2>"


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("SECONDS=1;touch x", "SECONDS=1;touch x: expected a number, from 0.5 to 600"),
        ("SECONDS=0.4", "SECONDS=0.4: expected a number, from 0.5 to 600"),
        ("RATE=nan", "RATE=nan: expected a number, at least 0.01"),
        ("SCANS=2.5", "SCANS=2.5: expected a whole number, from 1 to 21"),
        ("BAG=/nowhere/drive", "BAG=/nowhere/drive: no such file or folder"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_installed(setting, expected, monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import set_up

    monkeypatch.setattr(set_up, "main", lambda purpose: pytest.fail(f"sets up {purpose}"))
    with pytest.raises(SystemExit) as ended:
        set_up.run("demo", ["SECONDS=5", "RATE=", setting])
    assert ended.value.code == f"error: {expected}"


def test_limits_of_settings_are_those_of_the_demo(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    from make_settings import RANGES, WHOLE_NUMBERS

    for name, (least, most) in RANGES.items():
        annotated = inspect.signature(demo).parameters[name.lower()].annotation
        (option,) = annotated.__metadata__
        assert (option.min, option.max or math.inf) == (least, most)
        assert (annotated.__origin__ is int) == (name in WHOLE_NUMBERS)


def test_a_compiler_that_came_later_is_noticed_until_it_was_tried(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import set_up

    tools = tmp_path / "bin"
    tools.mkdir()
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tools))
    monkeypatch.setattr(set_up, "ROOT", tmp_path)
    stamp = {"compiler": set_up.compiler()}
    assert stamp == {"compiler": ""}
    assert not set_up.can_now_be_compiled(stamp)
    (tools / "g++").write_text("#!/bin/sh\n")
    (tools / "g++").chmod(0o755)
    assert set_up.can_now_be_compiled(stamp)
    # It was there and could not compile: that is not tried again at every start.
    assert not set_up.can_now_be_compiled({"compiler": "g++"})
    (tmp_path / set_up.ENGINE).mkdir(parents=True)
    (tmp_path / set_up.ENGINE / "engine.so").touch()
    assert not set_up.can_now_be_compiled(stamp)
