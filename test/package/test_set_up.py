"""Set-up: what it refuses, what it says when the network or the disk fails, and what it makes anew."""

import json
import sys
from collections import namedtuple
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "scripts"

# A pip that says what it is told and ends with an error, or by a signal.
_FAKE_PIP = """#!/bin/sh
echo "Collecting torch"
cat "$0.says"
grep -q Killed "$0.says" && kill -9 $$
exit 1
"""


@pytest.fixture
def set_up(monkeypatch, tmp_path):
    """The module, with a project of its own below tmp_path."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    for name in ("set_up", "pip_progress", "bare_pip", "venv_parts", "make_settings"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import set_up

    monkeypatch.setattr(set_up, "ROOT", tmp_path)
    monkeypatch.setattr(set_up, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(set_up, "PYTHON", tmp_path / ".venv/bin/python")
    monkeypatch.setattr(set_up, "STAMP", tmp_path / ".venv/set_up.json")
    monkeypatch.setattr(set_up, "ASIDE", tmp_path / "build/venv_before")
    monkeypatch.setattr(set_up, "LOG", tmp_path / "build/set_up.log")
    for name in set_up.INPUTS:
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    return set_up


def test_what_is_installed_is_not_installed_again(set_up, monkeypatch):
    calls = []
    monkeypatch.delenv("ROS_DISTRO", raising=False)
    monkeypatch.setattr(set_up, "make_venv", lambda _ros, _gb: set_up.STAMP.parent.mkdir(exist_ok=True))
    monkeypatch.setattr(set_up, "install_packages", lambda extras, _ros: calls.append(extras))
    monkeypatch.setattr(set_up, "is_whole", lambda _stamp: True)

    for purpose in ("demo", "demo", "test", "demo", "test"):
        set_up.main(purpose)

    few, all_of_it = calls
    assert set(few) == {"ros"}
    assert {"ros", "train", "dev"} < set(all_of_it)


def test_changed_requirements_and_a_stamp_of_another_version_set_up_again(set_up, monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(set_up, "make_venv", lambda _ros, _gb: set_up.STAMP.parent.mkdir(exist_ok=True))
    monkeypatch.setattr(set_up, "install_packages", lambda extras, _ros: calls.append(extras))
    set_up.main("demo")
    (tmp_path / "constraints.txt").write_text("torch==0\n")
    set_up.main("demo")
    set_up.STAMP.write_text("3f9a ('3.11')")
    set_up.main("demo")
    assert len(calls) == 3


def test_byte_code_of_what_is_needed_is_kept_and_what_is_missing_is_in_nobodys_way(set_up, monkeypatch, tmp_path):
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    monkeypatch.setattr(set_up, "PYTHON", sys.executable)
    monkeypatch.setattr(set_up, "FIRST_IMPORTS", {"ros": ["no_such_package", "needed"], "train": ["left_out"]})
    for name in ("needed", "left_out"):
        (tmp_path / f"{name}.py").write_text("")
    set_up.import_once(["dev", "ros"])
    assert [path.name.split(".")[0] for path in (tmp_path / "__pycache__").glob("*.pyc")] == ["needed"]


def test_full_disk_is_told_before_anything_is_made(set_up, monkeypatch):
    usage = namedtuple("usage", "total used free")(10**12, 10**12, 10**9)
    monkeypatch.setattr(set_up.shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(set_up.SetUpError, match=r"1\.0 GB free in .*, set-up needs about 3: free some"):
        set_up.main("demo")
    assert not set_up.VENV.exists()


def test_full_disk_is_told_beside_a_venv_that_is_unfinished_or_to_be_renewed(set_up, filled_venv, monkeypatch):
    packages, _said = filled_venv
    usage = namedtuple("usage", "total used free")(10**12, 10**12, 10**9)
    monkeypatch.setattr(set_up.shutil, "disk_usage", lambda _path: usage)
    _make_for_another_python(set_up)
    with pytest.raises(
        set_up.SetUpError, match=r"needs about 3 beside the old \.venv, which `make clean` removes: free"
    ):
        set_up.main("demo")
    assert (packages / "typer/main.py").exists()
    set_up.shutil.rmtree(set_up.VENV)
    set_up.make_venv(None, 0.5)
    with pytest.raises(set_up.SetUpError, match=r"1\.0 GB free in .*, set-up needs about 3: free some"):
        set_up.main("demo")


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device", "/tmp/x"),
        FileNotFoundError(2, "No usable temporary directory found in ['/tmp', '/var/tmp']"),
    ],
)
def test_full_disk_anywhere_in_set_up_gets_the_same_sentence(set_up, monkeypatch, error):
    def fail(*_arguments):
        raise error

    monkeypatch.setattr(set_up, "main", fail)
    with pytest.raises(SystemExit, match=r"error: the disk is full: \.venv could not be installed; free some GB"):
        set_up.run("demo", [])


def test_ensurepip_on_a_full_disk_says_so_and_is_not_taken_for_missing(set_up, tmp_path):
    from bare_pip import add_pip

    said, python = [], tmp_path / "bin/python"
    python.parent.mkdir()
    python.write_text("#!/bin/sh\necho 'OSError: [Errno 28] No space left on device' >&2\nexit 1\n")
    python.chmod(0o755)
    with pytest.raises(set_up.PipError, match="the disk is full: pip could not be installed; free some GB"):
        add_pip(python, said.append)
    assert said == []


def _write_pip(python, _say):
    """Stands in for seconds of installing pip."""
    (python.parent / "pip").write_text(f"#!{python}\n")


def test_venv_stays_where_it_fits_and_is_made_anew_for_another_python_or_folder(set_up, monkeypatch):
    said, marker = [], set_up.VENV / "marker"
    set_up.say = said.append
    set_up.make_venv(None, 0.0)
    marker.touch()
    set_up.make_venv(None, 0.0)
    assert marker.exists()
    monkeypatch.setattr(set_up, "add_pip", _write_pip)

    config, pip = set_up.VENV / "pyvenv.cfg", set_up.VENV / "bin/pip"
    config.write_text(config.read_text().replace(f"version = 3.{sys.version_info[1]}", "version = 3.4"))
    set_up.make_venv(None, 0.0)
    assert not marker.exists()
    assert any("3.4 own packages" in line and "making it anew" in line for line in said)

    pip.write_text('#!/bin/sh\n\'\'\'exec\' "/else where/.venv/bin/python" "$0" "$@"\n')
    assert "was moved here from /else where," in set_up.flaw_of_venv(None)


def test_venv_that_lost_a_package_is_made_anew_and_one_that_lost_the_command_is_not(set_up, monkeypatch):
    said, package = [], set_up.VENV / f"lib/python3.{sys.version_info[1]}/site-packages/torch"

    def install(_extras, _ros):
        package.mkdir(exist_ok=True)
        (set_up.VENV / "bin/pvd").touch()

    monkeypatch.setattr(set_up, "add_pip", _write_pip)
    monkeypatch.setattr(set_up, "install_packages", install)
    monkeypatch.setattr(set_up, "say", said.append)
    set_up.main("demo")
    num_said = len(said)
    set_up.main("demo")
    assert len(said) == num_said
    (set_up.VENV / "bin/pvd").unlink()
    set_up.main("demo")
    assert not any("making it anew" in line for line in said)
    package.rmdir()
    set_up.main("demo")
    assert package.is_dir()
    assert any("is damaged (lib/python3" in line and "torch missing): making it anew" in line for line in said)
    set_up.shutil.rmtree(package.parent)
    set_up.main("demo")
    assert package.is_dir()


@pytest.fixture
def filled_venv(set_up, monkeypatch):
    """site-packages of a .venv with a package and a module, which every set-up brings, and what was said since."""
    packages = set_up.VENV / f"lib/python3.{sys.version_info[1]}/site-packages"

    def install(_extras, _ros):
        (packages / "typer").mkdir(exist_ok=True)
        (packages / "typer-1.dist-info").mkdir(exist_ok=True)
        (packages / "typer-1.dist-info/RECORD").write_text(
            "typer/main.py,sha256=x,1\nextensions.py,,\n__editable__.pvd.pth,,\nlisted_wrongly.py,,\n"
        )
        for name in ("typer/main.py", "extensions.py", "__editable__.pvd.pth", "unrecorded.py"):
            (packages / name).write_text("")
        (set_up.VENV / "bin/pvd").touch()

    said = []
    monkeypatch.setattr(set_up, "add_pip", _write_pip)
    monkeypatch.setattr(set_up, "install_packages", install)
    monkeypatch.setattr(set_up, "say", said.append)
    set_up.main("demo")
    said.clear()
    set_up.main("demo")
    assert said == []
    return packages, said


@pytest.mark.parametrize("lost", ["typer/main.py", "extensions.py", "__editable__.pvd.pth", "unrecorded.py"])
def test_venv_that_lost_a_single_file_is_made_anew(set_up, filled_venv, lost):
    packages, said = filled_venv
    (packages / lost).unlink()
    set_up.main("demo")
    assert (packages / lost).exists()
    assert any(f"is damaged (lib/{packages.parent.name}/site-packages/{lost} missing)" in line for line in said)
    assert not set_up.ASIDE.exists()


def _make_for_another_python(set_up):
    config = set_up.VENV / "pyvenv.cfg"
    config.write_text(config.read_text().replace(f"version = 3.{sys.version_info[1]}", "version = 3.4"))
    set_up.STAMP.write_text(json.dumps({**json.loads(set_up.STAMP.read_text()), "facts": "others"}))


@pytest.mark.parametrize("failing", ["add_pip", "install_packages"])
def test_the_old_venv_is_back_where_no_new_one_can_be_had(set_up, filled_venv, monkeypatch, failing):
    packages, said = filled_venv
    _make_for_another_python(set_up)

    def fail(*_arguments):
        assert not (packages / "typer/main.py").exists()
        raise set_up.PipError("no network")

    with monkeypatch.context() as without_network:
        without_network.setattr(set_up, failing, fail)
        with pytest.raises(set_up.PipError):
            set_up.main("demo")
    assert (packages / "typer/main.py").exists()
    assert "version = 3.4" in (set_up.VENV / "pyvenv.cfg").read_text()
    assert said[-1] == "the .venv of before is back in its place"
    assert not set_up.ASIDE.exists()
    set_up.main("demo")
    assert "version = 3.4" not in (set_up.VENV / "pyvenv.cfg").read_text()


def test_the_old_venv_outlives_a_renewal_that_was_killed(set_up, filled_venv, monkeypatch):
    packages, _said = filled_venv
    set_up.VENV.rename(set_up.ASIDE)
    monkeypatch.setattr(set_up, "add_pip", lambda *_arguments: sys.exit("no network"))
    with pytest.raises(SystemExit):
        set_up.main("demo")
    assert (packages / "typer/main.py").exists()


@pytest.mark.parametrize("kind", ["dangling link", "link to a damaged one", "link to a file", "file"])
def test_link_or_file_in_the_place_of_the_venv_is_named_and_left(set_up, tmp_path, kind):
    other = tmp_path / "other"
    if kind == "link to a damaged one":
        other.mkdir()
    elif kind == "link to a file":
        other.write_text("")
    if kind == "file":
        set_up.VENV.write_text("mine")
    else:
        set_up.VENV.symlink_to(other)
    with pytest.raises(set_up.SetUpError, match=r"\.venv is a .*expected: remove it \(rm \.venv\), then run the same"):
        set_up.main("demo")
    assert set_up.VENV.is_symlink() or set_up.VENV.read_text() == "mine"
    assert other.exists() == kind.startswith("link to a")


def test_link_to_a_venv_that_is_whole_is_used(set_up, filled_venv, tmp_path):
    _packages, said = filled_venv
    set_up.VENV.rename(tmp_path / "elsewhere")
    set_up.VENV.symlink_to(tmp_path / "elsewhere")
    set_up.main("demo")
    (set_up.VENV / "bin/pvd").unlink()
    set_up.main("demo")
    assert not any("making it anew" in line for line in said)


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        (
            "NewConnectionError: Temporary failure in name resolution",
            "no network: pip reached no package index for all",
        ),
        ("ERROR: [Errno 28] No space left on device", "the disk is full: all could not be installed; free some"),
        ("Killed after a ReadTimeout", r"killed by signal 9 \(Killed\) while it installed all, probably"),
        ("ERROR: [Errno 122] Disk quota exceeded", "the disk is full: all could not be installed; free some"),
        (
            "ERROR: Cannot install all because these package versions have conflicting dependencies.\n"
            "ERROR: ResolutionImpossible: for help visit https://pip.pypa.io/",
            "pip found no fitting all: either it did not reach the package index, or the index lacks",
        ),
        ("ERROR: No matching distribution found for torch==2.12.1", "pip found no fitting all: either"),
        ("ERROR: something else", "ERROR: something else"),
    ],
)
def test_failures_of_pip_name_their_cause(set_up, tmp_path, says, expected):
    from pip_progress import PipError, install

    python = tmp_path / "bin/python"
    python.parent.mkdir()
    python.write_text(_FAKE_PIP)
    python.chmod(0o755)
    Path(f"{python}.says").write_text(says)
    log = tmp_path / "log"
    with pytest.raises(PipError, match=expected) as caught:
        install(python, ["x"], "all", lambda _text: None, log)
    assert "run the same command again" in str(caught.value)
    assert says in log.read_text()


def test_stamp_names_what_was_installed(set_up, monkeypatch):
    monkeypatch.setattr(set_up, "make_venv", lambda _ros, _gb: set_up.STAMP.parent.mkdir(exist_ok=True))
    monkeypatch.setattr(set_up, "install_packages", lambda _extras, _ros: None)
    set_up.main("test")
    assert "dev" in json.loads(set_up.STAMP.read_text())["extras"]


def test_progress_counts_the_packages_that_pip_says_it_unpacks(set_up, tmp_path):
    from pip_progress import _Reporter

    packages = tmp_path / ".venv/lib/python3.11/site-packages"
    (packages / "pip-25.dist-info").mkdir(parents=True)
    reporter = _Reporter(tmp_path / ".venv/bin/python", tmp_path)
    (tmp_path / "torch.whl").write_bytes(bytes(3_000_000))
    reporter.take("Collecting torch (from pvd_ros==0.1.0)")
    assert reporter._now() == "1 packages, 3 MB fetched, collecting torch"
    reporter.take("Installing collected packages: mpmath, sympy, torch")
    (packages / "mpmath-1.dist-info").mkdir()
    assert reporter._now() == "unpacking: 1 of 3 packages"
