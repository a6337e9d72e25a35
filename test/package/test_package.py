"""The package's own files agree with each other, and what they promise to install gets installed."""

import ast
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONSTRAINT = re.compile(r"([A-Za-z0-9_.-]+)==([\w.]+)(?:\s*;\s*(.+))?$")


@pytest.fixture(scope="module")
def setup_arguments(monkeypatch_module):
    """Keyword arguments that setup.py calls setuptools.setup with."""
    import setuptools

    caught = {}
    monkeypatch_module.setattr(setuptools, "setup", caught.update)
    monkeypatch_module.chdir(ROOT)
    exec(compile((ROOT / "setup.py").read_text(), "setup.py", "exec"), {"__name__": "__main__"})
    return caught


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield monkeypatch


@pytest.fixture(scope="module")
def manifest():
    return ElementTree.parse(ROOT / "package.xml").getroot()


@pytest.fixture(scope="module")
def wheel_source(tmp_path_factory):
    """A copy of what the wheel is built of: setuptools leaves its working files beside setup.py."""
    source = tmp_path_factory.mktemp("source")
    parts = "setup.py setup.cfg pyproject.toml package.xml resource pvd_core training pvd_ros pvd_cli launch config"
    subprocess.run(["cp", "-r", *parts.split(), str(source)], cwd=ROOT, check=True)
    (source / "pvd_core/native/engine.so").unlink(missing_ok=True)
    return source


@pytest.fixture(scope="module")
def wheel_files(wheel_source, tmp_path_factory):
    """{name: content} of the wheel that pip builds where there is no compiler, which would take most of the time."""
    return built_wheel(wheel_source, tmp_path_factory.mktemp("wheel"), CXX="false")


def built_wheel(source, out, **environment):
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    command, environment = [*pip, "-w", str(out), str(source)], os.environ | environment
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert result.returncode == 0, result.stderr
    (wheel,) = out.glob("pvd_ros-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")
def test_wheel_holds_the_engine_where_there_is_a_compiler(wheel_source, tmp_path):
    assert "pvd_core/native/engine.so" in built_wheel(wheel_source, tmp_path)


def test_manifest_and_setup_state_the_same_facts(setup_arguments, manifest):
    assert manifest.get("format") == "3"
    for key in ("name", "version", "description", "license"):
        assert manifest.find(key).text == setup_arguments[key], key
    assert manifest.find("maintainer").text == setup_arguments["maintainer"]
    assert manifest.find("maintainer").get("email") == setup_arguments["maintainer_email"]
    assert manifest.find("export/build_type").text == "ament_python"
    assert (ROOT / "resource" / setup_arguments["name"]).is_file()
    assert "Apache License" in (ROOT / manifest.find("license").get("file")).read_text()


def test_python_range_is_the_one_that_set_up_checks(setup_arguments):
    source = (ROOT / "scripts/start_set_up.py").read_text()
    lowest, highest = ast.literal_eval(re.search(r"LOWEST, HIGHEST = (.+)", source)[1])
    assert setup_arguments["python_requires"] == f">=3.{lowest[1]},<3.{highest[1] + 1}"


def test_every_direct_dependency_is_pinned_once_a_python_version(setup_arguments):
    pinned = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, marker = CONSTRAINT.match(line).groups()
            pinned.setdefault(name.lower(), []).append(marker)
    wanted = list(setup_arguments["install_requires"])
    for requirements in setup_arguments["extras_require"].values():
        wanted += requirements
    names = {re.match(r"[A-Za-z0-9_.-]+", requirement)[0].lower() for requirement in wanted}
    assert names - pinned.keys() == set(), "without a pin in constraints.txt"
    assert pinned.keys() - names - {"setuptools"} == set(), "pinned but not asked for in setup.py"
    for name, markers in pinned.items():
        if len(markers) > 1:
            assert sorted(m.split()[1] for m in markers) in (["<", ">="], ["<", "<", ">="]), name


def test_set_up_installed_the_pinned_versions():
    from importlib import metadata

    if Path(sys.prefix) != ROOT / ".venv" or not (ROOT / ".venv/set_up.json").is_file():
        pytest.skip("this Python is not the .venv that `make setup` makes")
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        match = CONSTRAINT.match(line)
        if match is None:
            continue
        name, pin, marker = match.groups()
        if marker and not _holds(marker):
            continue
        try:
            installed = metadata.version(name).split("+")[0]
        except metadata.PackageNotFoundError:
            continue  # spconv without a GPU, the ROS wheels beside a sourced ROS
        assert installed == pin or os.environ.get("ROS_DISTRO"), name


def _holds(marker):
    """Whether `python_version OP "3.N"` is true here."""
    operator, version = re.fullmatch(r'python_version (\S+) "3\.(\d+)"', marker).groups()
    return {"<": sys.version_info[1] < int(version), ">=": sys.version_info[1] >= int(version)}[operator]


def test_wheel_holds_the_packages_their_data_and_the_scripts(wheel_files):
    names = "\n".join(wheel_files)
    for package in ("pvd_core", "training", "pvd_ros", "pvd_cli"):
        sources = sorted((ROOT / package).rglob("*.py"))
        missing = [str(p.relative_to(ROOT)) for p in sources if str(p.relative_to(ROOT)) not in wheel_files]
        assert missing == [], "a folder without __init__.py?"
    for path in [*(ROOT / "launch").rglob("*.launch.py"), *(ROOT / "config").rglob("*.*")]:
        assert f"data/share/pvd_ros/{path.relative_to(ROOT)}" in names
    for path in (ROOT / "pvd_core/shipped").glob("*.safetensors"):
        assert f"pvd_core/shipped/{path.name}" in wheel_files
    assert "data/share/ament_index/resource_index/packages/pvd_ros" in names
    assert "data/share/pvd_ros/package.xml" in names
    (entry_points,) = (content for name, content in wheel_files.items() if name.endswith("entry_points.txt"))
    assert b"pvd = pvd_cli.__main__:main" in entry_points
    assert b"segmenter_node = pvd_ros.node:main" in entry_points
