import json

import numpy as np
import pytest
import torch

from pvd_core.benchmark import as_table, benchmark
from pvd_core.errors import UserError
from pvd_core.models import build_model

SETTINGS = {"width": 4, "num_point_features": 16, "point_mlp_widths": (16,), "grid": {"shape": (24, 18, 8)}}
CPU = torch.device("cpu")
PROMISED = {
    "backend", "precision", "threads", "voxels", "macs", "median_ms", "p90_ms", "p99_ms", "network_ms", "maps_ms",
    "floor_ms", "ratio_to_floor", "ratio_to_spconv", "peak_mb",
}  # fmt: skip


@pytest.fixture
def scans():
    generator = np.random.default_rng(0)
    return {"a scan": generator.uniform((-20, -20, -2, 0), (20, 20, 1, 1), (800, 4)).astype(np.float32)}


def test_every_promised_figure_is_measured(scans):
    result = benchmark(build_model(SETTINGS), scans, CPU, runs=4, precisions=("fp32", "bf16"))

    row, half = result["rows"]
    assert (row["precision"], half["precision"]) == ("fp32", "bf16")
    assert set(row) >= PROMISED
    assert row["ratio_to_floor"] == pytest.approx(row["network_ms"] / row["floor_ms"])
    assert 0 < row["maps_ms"] < row["network_ms"]
    assert row["median_ms"] <= row["p90_ms"] <= row["p99_ms"]
    assert json.loads(json.dumps(result)) == result
    assert "| a scan |" in as_table(result["rows"])


def test_an_unknown_backend_is_refused(scans):
    with pytest.raises(UserError, match="backend 'cudnn'"):
        benchmark(build_model(SETTINGS), scans, CPU, backends=("cudnn",))
