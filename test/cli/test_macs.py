import itertools
import json

import pytest
import torch

from pvd_cli.bench import Plan, macs_rows
from pvd_cli.bench.scan_input import ScanInput
from pvd_cli.main import run
from pvd_core.clouds import find_clouds, read_cloud
from pvd_core.models import build_model
from pvd_core.models.macs import layer_costs
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


@pytest.mark.parametrize("sequences", ["00/velodyne/000000.bin", pytest.param("", marks=pytest.mark.slow)])
def test_published_macs_of_the_residual_networks_are_met_on_real_scans(sequences, shared_data):
    """Within 10 % on one scan of usual size and, slow, over all 33; the authors take the mean of all SemanticKITTI."""
    paths = find_clouds([shared_data / "semantickitti" / "sequences" / sequences])
    networks = {name: build_model({"name": name, "num_classes": 19}) for name in ("minkunet-0.5x", "spvcnn-0.5x")}
    rows = macs_rows(Plan(networks, {str(path): read_cloud(path)[:, :4] for path in paths}, torch.device("cpu")))[
        "rows"
    ]
    assert {row["scans"] for row in rows} == {len(paths)}
    for row in rows:
        assert row["gmacs"] == pytest.approx(row["published_gmacs"], rel=0.1)


def test_bench_macs_counts_all_scans_and_prints_the_published_figure(tmp_path, capsys):
    for number in range(2):
        points_of_scan(200 + 50 * number).numpy().astype("<f4").tofile(tmp_path / f"{number}.bin")
    assert (
        run(
            [
                "bench",
                str(tmp_path),
                "--model",
                "minkunet-0.25x,spvcnn-0.5x",
                "--macs",
                "--json",
                str(tmp_path / "m.json"),
            ]
        )
        == 0
    )
    assert "published" in capsys.readouterr().out
    rows = json.loads((tmp_path / "m.json").read_text())["macs"]
    assert [(row["model"], row["scans"], row["published_gmacs"]) for row in rows] == [
        ("minkunet-0.25x", 2, None),
        ("spvcnn-0.5x", 2, 29.7),
    ]
    assert all(0 < row["gmacs_std"] < row["gmacs"] for row in rows)
