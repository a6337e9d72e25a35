"""How many multiply-accumulates networks take for a cloud; nothing is timed."""

import statistics
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from pvd_cli.bench.plan import Plan, Progress, Row
from pvd_core.clouds.measured import is_measured, measured_points
from pvd_core.models import Network
from pvd_core.models.macs import countable_sites, layer_costs
from pvd_core.sparse import Sites
from pvd_core.voxels import VoxelBatch, Voxeliser

# GMAC that the authors publish, means over SemanticKITTI (SPVNAS's model zoo, table 1 of the PVD paper).
PUBLISHED = {
    "minkunet-1x": 113.9,
    "minkunet-0.64x": 45.9,
    "minkunet-0.5x": 28.5,
    "spvcnn-1x": 118.6,
    "spvcnn-0.64x": 47.4,
    "spvcnn-0.5x": 29.7,
}


def macs_rows(plan: Plan, progress: Progress | None = None) -> dict[str, Any]:
    """{"rows", ...}: for each network a dictionary with `parameters`, `scans`, and over these the means of `voxels` and
    `gmacs`, the standard deviation `gmacs_std` and, where the authors publish them, `published_gmacs`."""
    counts_of: dict[str, list[tuple[int, int]]] = {name: [] for name in plan.networks}
    for number, points in enumerate(plan.scans.values(), start=1):
        for name, count in _voxels_and_macs(plan.networks, points, plan.device):
            counts_of[name].append(count)
        if progress is not None:
            progress(number, len(plan.scans))
    rows: list[Row] = []
    for name, network in plan.networks.items():
        counts = counts_of[name]
        gmacs = [macs / 1e9 for _, macs in counts]
        rows.append(
            {
                "model": name,
                "parameters": sum(parameter.numel() for parameter in network.parameters()),
                "scans": len(counts),
                "voxels": round(statistics.fmean(voxels for voxels, _ in counts)),
                "gmacs": statistics.fmean(gmacs),
                "gmacs_std": statistics.stdev(gmacs) if len(gmacs) > 1 else None,
                "published_gmacs": PUBLISHED.get(name),
            }
        )
    return {"rows": rows, "skipped": [], "ended_by": None}


def _voxels_and_macs(
    networks: Mapping[str, Network], points: np.ndarray, device: torch.device
) -> Iterator[tuple[str, tuple[int, int]]]:
    """(name, (voxels, multiply-accumulates)) of each network on a cloud. Those of one grid share the kernel maps."""
    scan = torch.from_numpy(measured_points(points, is_measured(points))).to(device)
    sites_of: dict[Voxeliser, tuple[VoxelBatch, Sites]] = {}
    for name, network in networks.items():
        if network.grid not in sites_of:
            batch = network.grid.voxelise([scan])
            sites_of[network.grid] = batch, countable_sites(batch)
        batch, sites = sites_of[network.grid]
        costs = layer_costs(network.to(device).eval(), batch, sites) if batch.num_voxels else []
        yield name, (batch.num_voxels, sum(cost.macs for cost in costs))
