"""How many multiply-accumulates networks take for a cloud; nothing is timed."""

import statistics
from typing import Any

import torch

from pvd_cli.bench.plan import Plan, Progress, Row
from pvd_core.clouds.measured import is_measured, measured_points
from pvd_core.models.macs import countable_sites, layer_costs
from pvd_core.sparse import Sites
from pvd_core.voxels import VoxelBatch, Voxeliser

# GMAC that the authors publish, means over SemanticKITTI (SPVNAS's model zoo, table 1 of the PVD paper).
PUBLISHED = {
    **{"minkunet-1x": 113.9, "minkunet-0.64x": 45.9, "minkunet-0.5x": 28.5},
    **{"spvcnn-1x": 118.6, "spvcnn-0.64x": 47.4, "spvcnn-0.5x": 29.7},
}


def macs_rows(plan: Plan, progress: Progress | None = None) -> dict[str, Any]:
    """{"rows", "skipped", "ended_by"}: for each network `parameters`, `scans`, and over these the means of `voxels` and
    `gmacs`, the standard deviation `gmacs_std` and, where the authors publish them, `published_gmacs`."""
    voxels_of: dict[str, list[int]] = {name: [] for name in plan.networks}
    gmacs_of: dict[str, list[float]] = {name: [] for name in plan.networks}
    for number, points in enumerate(plan.scans.values(), start=1):
        scan = torch.from_numpy(measured_points(points, is_measured(points))).to(plan.device)
        sites_of: dict[Voxeliser, tuple[VoxelBatch, Sites]] = {}  # networks of one grid share the kernel maps
        for name, network in plan.networks.items():
            if network.grid not in sites_of:
                batch = network.grid.voxelise([scan])
                sites_of[network.grid] = batch, countable_sites(batch)
            batch, sites = sites_of[network.grid]
            costs = layer_costs(network.to(plan.device).eval(), batch, sites) if batch.num_voxels else []
            voxels_of[name].append(batch.num_voxels)
            gmacs_of[name].append(sum(cost.macs for cost in costs) / 1e9)
        if progress is not None:
            progress(number, len(plan.scans))
    rows: list[Row] = [
        {
            "model": name,
            "parameters": network.num_parameters,
            "scans": len(plan.scans),
            "voxels": round(statistics.fmean(voxels_of[name])),
            "gmacs": statistics.fmean(gmacs_of[name]),
            "gmacs_std": statistics.stdev(gmacs_of[name]) if len(plan.scans) > 1 else None,
            "published_gmacs": PUBLISHED.get(name),
        }
        for name, network in plan.networks.items()
    ]
    return {"rows": rows, "skipped": [], "ended_by": None}
