import itertools

import torch

from pvd_cli.bench.scan_input import ScanInput, layer_costs
from pvd_core.models import build_model
from pvd_core.segmenter import Segmenter

SETTINGS = {"width": 4, "num_point_features": 16, "point_mlp_widths": (16,), "grid": {"shape": (24, 18, 8)}}


def points_of_scan(num_points=400):
    return torch.rand(num_points, 4, generator=torch.Generator().manual_seed(0)) * 20


def batch_of(model):
    return model.grid.voxelise([points_of_scan()])


def test_pairs_of_a_submanifold_layer_equal_a_brute_force_count():
    model = build_model(SETTINGS).eval()
    batch = batch_of(model)

    cost = next(cost for cost in layer_costs(model, batch) if cost.name == "head.conv")

    voxels = {tuple(voxel) for voxel in batch.coords_V4[:, 1:].tolist()}
    offsets = itertools.product((-1, 0, 1), repeat=3)
    expected = [
        sum(tuple(a + b for a, b in zip(voxel, offset, strict=True)) in voxels for voxel in voxels)
        for offset in offsets
    ]
    assert list(cost.rows) == expected
    assert cost.macs == sum(expected) * 16 * 20


def test_linear_layers_cost_rows_times_channels():
    model = build_model(SETTINGS).eval()
    batch = batch_of(model)

    costs = {cost.name: cost.macs for cost in layer_costs(model, batch)}

    assert costs["point_mlp.layers.0.linear"] == 400 * 9 * 16
    assert costs["voxel_compress.linear"] == batch.num_voxels * 16 * 16


def test_half_width_costs_a_quarter_in_the_sparse_layers():
    full, half = (build_model({**SETTINGS, "width": width, "num_voxel_features": 16}).eval() for width in (16, 8))

    full_macs, half_macs = (
        sum(cost.macs for cost in ScanInput(Segmenter(model), points_of_scan().numpy()).sparse_costs)
        for model in (full, half)
    )

    assert 0.25 <= half_macs / full_macs < 0.27
