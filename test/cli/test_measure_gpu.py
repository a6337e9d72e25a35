"""The script for machines with a GPU, with the steps of it that run without one."""

import importlib.util
import json

import numpy as np
import pytest

from pvd_core.clouds.example import spinning_scan
from pvd_core.models import build_model
from pvd_core.weights import save_weights


@pytest.fixture(scope="module")
def script(project_root):
    spec = importlib.util.spec_from_file_location("measure_gpu", project_root / "scripts" / "measure_gpu.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def inputs(tmp_path):
    settings = {"width": 4, "num_point_features": 16, "point_mlp_widths": (16,), "grid": {"shape": (48, 36, 8)}}
    save_weights(tmp_path / "tiny.safetensors", build_model(settings))
    for name, size in (("a", 500), ("b", 900)):
        spinning_scan(size).tofile(tmp_path / f"{name}.bin")
    return tmp_path


EACH_PRECISION = pytest.mark.parametrize(
    "precisions", [("fp32",), pytest.param(("fp32", "bf16"), marks=pytest.mark.bf16)], ids=",".join
)


def measure(script, inputs, *options):
    scans = [str(inputs / name) for name in ("a.bin", "b.bin")]
    weights = ["--weights", str(inputs / "tiny.safetensors")]
    code = script.main([*scans, *weights, "--device", "cpu", "--runs", "3", "--out", str(inputs / "out"), *options])
    return code, json.loads((inputs / "out" / "gpu.json").read_text()), (inputs / "out" / "gpu.md").read_text()


@EACH_PRECISION
def test_latency_and_agreement_with_fp32_are_measured_and_written(script, inputs, precisions):
    options = "--steps", "latency,accuracy", "--precision", ",".join(precisions), "--backends", "reference"
    code, result, text = measure(script, inputs, *options)

    assert code == 0
    assert [(row["precision"], row["programs"]) for row in result["latency"]] == [
        (precision, how) for precision in precisions for how in ("off", "eager")
    ]
    for row in result["latency"]:
        assert 0 < row["p50_ms"] <= row["p90_ms"] <= row["p99_ms"]
    assert result["latency"][1]["counters"]["declined"] == 0
    assert [row["precision"] for row in result["accuracy"]] == [*precisions]
    assert result["accuracy"][0]["labels_as_fp32"] == 1
    assert f"| reference | {precisions[-1]} | eager |" in text
    assert result["hardware"]["cpu"]


def test_every_test_file_that_it_runs_exists(script, project_root):
    assert [name for name in script.TESTS if not (project_root / "test" / "core" / name).is_file()] == []


@EACH_PRECISION
def test_miou_of_each_precision_is_measured_where_labels_are_given(script, inputs, precisions):
    sequence = inputs / "drive" / "sequences" / "08"
    for name in ("velodyne", "labels"):
        (sequence / name).mkdir(parents=True)
    spinning_scan(900).tofile(sequence / "velodyne" / "000000.bin")
    np.full(900, 40, np.uint32).tofile(sequence / "labels" / "000000.label")
    options = "--steps", "accuracy", "--dataset", str(inputs / "drive"), "--split", "08"

    _, result, _ = measure(script, inputs, *options, "--precision", ",".join(precisions))

    assert [row["precision"] for row in result["accuracy"]] == [*precisions]
    assert all(0 <= row["miou"] <= row["miou_present"] <= 1 for row in result["accuracy"])


def test_a_step_that_fails_is_written_down_and_the_others_go_on(script, inputs):
    options = "--steps", "accuracy,latency", "--dataset", str(inputs / "nowhere"), "--precision", "fp32"
    code, result, _ = measure(script, inputs, *options, "--backends", "reference")

    assert code == 1
    assert "nowhere" in result["accuracy"]["failed"]
    assert len(result["latency"]) == 2
