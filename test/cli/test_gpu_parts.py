"""What `make gpu` compares the kernels with, by what is installed."""

import pytest

from scripts.gpu import parts


@pytest.fixture
def installed(monkeypatch):
    """A function that names the packages that are there; all others are missing."""

    def only(*packages):
        monkeypatch.setattr(parts, "_lacks", lambda package: None if package in packages else f"no {package}")

    return only


def backends_by_step(tmp_path, device="cuda"):
    """{step of a benchmark: (backends it times, why it is left out)}"""
    steps = parts.Parts(device, [tmp_path / "scan.bin"], tmp_path, tmp_path, tmp_path).steps(1)
    benches = {step: list(step.command(1.0)) for step in steps if step.name.startswith("bench")}
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
