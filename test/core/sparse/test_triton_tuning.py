"""Choosing block sizes by measurement, in Triton's interpreter on the CPU with times that the test makes up."""

import math
import os
from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
import torch

from pvd_core.borders.errors import UserError
from pvd_core.clouds.example import spinning_scan
from pvd_core.models import build_model
from pvd_core.segmenter import Segmenter
from pvd_core.sparse.backends.triton_blocks import block_sizes
from pvd_core.sparse.backends.triton_table import (
    BlockSizes,
    LayerShape,
    _tables,
    cache_path,
    save_measured,
    sizes_for,
)

pytest.importorskip("triton", reason="triton is not installed (extra gpu)")
ON_GPU = torch.cuda.is_available()
with mock.patch.dict(os.environ, {} if ON_GPU else {"TRITON_INTERPRET": "1"}):
    from pvd_core.sparse.backends import triton as backend
    from pvd_core.sparse.backends import triton_tuning as tuning

SHAPE = LayerShape("9.0", "float16", 64, 64, 40_000)
SIZES = BlockSizes(rows=256, in_channels=64, out_channels=64, pairs=64, num_warps=8, num_stages=4)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PVD_TRITON_BLOCKS", str(tmp_path / "cache" / "blocks.json"))
    _tables.cache_clear()
    yield
    monkeypatch.undo()
    _tables.cache_clear()


def test_sizes_that_were_measured_are_used_for_the_same_layer_on_the_same_gpu_only():
    usual = sizes_for(SHAPE)
    assert usual != SIZES

    save_measured(cache_path(), {SHAPE: SIZES})

    assert sizes_for(SHAPE) == SIZES
    for other in ({"capability": "8.0"}, {"dtype": "float32"}, {"in_channels": 32}, {"out_channels": 128}):
        assert sizes_for(replace(SHAPE, **other)) != SIZES


def test_the_closest_number_of_rows_decides_and_tables_grow():
    few = replace(SIZES, rows=32)
    save_measured(cache_path(), {SHAPE: SIZES})
    save_measured(cache_path(), {replace(SHAPE, num_rows=1000): few})

    for num_rows, expected in ((0, few), (900, few), (5000, few), (8000, SIZES), (90_000, SIZES)):
        assert sizes_for(replace(SHAPE, num_rows=num_rows)) == expected


def test_a_broken_table_is_named_and_the_way_out():
    cache_path().parent.mkdir()
    cache_path().write_text('{"measured": [{"layer": {}}]}')
    with pytest.raises(UserError, match=r"blocks.json: no table of block sizes .* delete it"):
        sizes_for(SHAPE)


@pytest.mark.slow
def test_the_tuner_keeps_for_each_layer_what_takes_the_least_time(monkeypatch):
    torch.manual_seed(0)
    settings = {"width": 4, "num_point_features": 16, "point_mlp_widths": (16,), "refinement": "none"}
    model = build_model({**settings, "grid": {"shape": (12, 9, 4)}})
    segmenter = Segmenter(model, device="cuda" if ON_GPU else "cpu")
    points = torch.from_numpy(spinning_scan(30)).to(segmenter.device)
    monkeypatch.setattr(tuning, "_CHOICES", {"rows": (32, 64), "num_warps": (2, 4)})
    tried = []
    run = backend.convolve_with
    monkeypatch.setattr(backend, "convolve_with", lambda operands, sizes: tried.append(sizes) or run(operands, sizes))

    def time_ms(function):
        function()
        return tried[-1].rows * tried[-1].num_warps

    before = model.backend
    best = tuning.tune(segmenter, model.grid.voxelise([points]), time_ms, seconds=math.inf)

    assert model.backend is before
    channels = {(module.weight.shape[1:]) for module in model.modules() if hasattr(module, "kernel")}
    assert {(shape.in_channels, shape.out_channels) for shape in best} == {tuple(pair) for pair in channels}
    assert {(sizes.rows, sizes.num_warps) for sizes in best.values()} == {(32, 2)}
    save_measured(cache_path(), best)
    shape = next(iter(best))
    assert block_sizes(shape.in_channels, shape.out_channels, points, shape.num_rows) == best[shape]


def test_sizes_that_give_something_else_are_never_kept(monkeypatch):
    operands = torch.ones(3, 16), torch.ones(1, 16, 16), None
    expected = torch.ones(3, 16)
    wrong = expected.clone()
    wrong[1, 2] = np.nan
    for result, is_kept in ((expected, True), (wrong, False), (expected * 1.1, False)):
        monkeypatch.setattr(backend, "convolve_with", lambda _operands, _sizes, result=result: result)
        spent_ms = tuning._time_of(SIZES, operands, expected, lambda _function: 1.0)
        assert (spent_ms == 1.0) == is_kept
