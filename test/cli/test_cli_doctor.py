"""`pvd doctor` tells what this machine has and what to do about the rest."""

import json
import os
import shlex
import subprocess
import sys

import pytest

from pvd_cli.checks.hardware import check_gpu, check_torch
from pvd_cli.checks.weights import _in_words
from pvd_cli.main import run
from pvd_core.models.unet_plan import plan_settings, ratio_plan
from pvd_core.native import library


def test_doctor_tells_what_is_there_and_what_to_do_about_the_rest(tmp_path, capsys):
    path = tmp_path / "doctor.json"
    code = run(["doctor", "--json", str(path)])
    findings = {finding["name"]: finding for finding in json.loads(path.read_text())}
    expected = "python torch cpu gpu spconv triton open3d rosbags disk"
    assert {*expected.split(), "bf16 on cpu", "ros 2", "weights default"} <= findings.keys()
    assert findings["python"]["is_present"]
    assert all(finding["remedy"] for finding in findings.values() if not finding["is_present"])
    assert (code == 0) == all(f["is_present"] for f in findings.values() if f["is_needed"])
    assert "scans" in capsys.readouterr().out.splitlines()[-1]


def test_doctor_tells_searched_networks_by_their_blocks():
    model = {"architecture": "minkunet", "channel_ratio": 1.0, "plan": plan_settings(ratio_plan(0.25))}
    assert _in_words(model) == "architecture minkunet, 16 residual blocks"


def test_doctor_names_the_interpreter_that_builds_the_engine(monkeypatch):
    monkeypatch.setattr(library, "status", lambda: (False, "no C++ compiler"))
    (engine,) = [finding for finding in check_torch() if finding.name == "native engine"]
    assert f"then {shlex.quote(sys.executable)} -m pvd_core.native.build" in engine.remedy


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
        [sys.executable, "-c", blocker + script], capture_output=True, text=True, timeout=300, env=os.environ
    )
    assert "Traceback" not in result.stderr
    assert result.returncode == 0
