"""What `make gpu` compares the kernels with, by what is installed, and what it trains."""

import pytest
import torch

from pvd_core.clouds.example import spinning_scan
from pvd_core.models import build_model
from pvd_core.weights import load_model
from scripts.gpu import parts
from scripts.gpu.sizes import sizes_on
from training.distil.widening import widened_state


@pytest.fixture
def installed(monkeypatch):
    """A function that names the packages that are there; all others are missing."""

    def only(*packages):
        monkeypatch.setattr(parts, "_lacks", lambda package: None if package in packages else f"no {package}")

    return only


def backends_by_step(tmp_path, device="cuda"):
    """{step of a benchmark: (backends it times, why it is left out)}"""
    stages = parts.Parts(device, [tmp_path / "scan.bin"], tmp_path, tmp_path, tmp_path).stages(1)
    benches = {step: list(step.command(1.0)) for (step,) in stages if step.name.startswith("bench")}
    return {step.name: (words[words.index("--backends") + 1], step.absent) for step, words in benches.items()}


def test_both_yardsticks_are_timed_where_they_are_installed(tmp_path, installed):
    installed("spconv", "spconv_triton", "pytest")
    assert backends_by_step(tmp_path) == {
        "bench-fp16": ("triton,spconv,reference", None),
        "bench-fp32": ("triton,spconv,reference", None),
        "bench-spconv-triton": ("triton,spconv-triton", None),
    }
    assert parts.left_out_of_bench() == {}


def test_a_missing_yardstick_is_left_out_with_its_reason(tmp_path, installed):
    installed("pytest")
    assert backends_by_step(tmp_path) == {
        "bench-fp16": ("triton,reference", None),
        "bench-fp32": ("triton,reference", None),
        "bench-spconv-triton": ("triton,spconv-triton", "no spconv_triton"),
    }
    assert parts.left_out_of_bench() == {"spconv": "no spconv", "spconv-triton": "no spconv_triton"}


def test_the_rehearsal_needs_no_yardstick(tmp_path, installed):
    installed()
    assert backends_by_step(tmp_path, "cpu") == {"bench-fp32": ("reference", None)}


def test_students_are_trained_beside_each_other_after_their_teachers(tmp_path, installed):
    installed("embreex")
    stages = parts.Parts("cuda", [tmp_path / "scan.bin"], tmp_path, tmp_path, tmp_path).stages(2)
    assert [[step.name for step in stage] for stage in stages] == [
        ["streets", "kernels"],
        ["teacher-cylinder3d", "teacher-minkunet"],
        ["pvd-cylinder3d", "pvd-minkunet", "student-cylinder3d", "student-minkunet"],
        ["bench-training"],
    ]


@pytest.mark.parametrize("family", ["cylinder3d", "minkunet"])
def test_students_and_teachers_of_a_gpu_start_as_what_the_shipped_weights_compute(family):
    settings = sizes_on("cuda").families[family]
    narrow, _ = load_model(settings.initial_weights)
    cloud = [torch.from_numpy(spinning_scan(2000))]
    for network in (settings.student, settings.teacher):
        wide = build_model(network)
        wide.load_state_dict(widened_state(narrow, wide, torch.Generator().manual_seed(0)))
        batch = wide.grid.voxelise(cloud)
        with torch.no_grad():
            expected, found = (each.eval()(batch).voxel_logits_VC for each in (narrow, wide))
        assert (found - expected).abs().max() < 1e-5 * expected.abs().max()
