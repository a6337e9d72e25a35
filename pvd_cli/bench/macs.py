"""How many multiply-accumulates networks take for a cloud; nothing is timed."""

import statistics
from typing import Any

import torch

from pvd_cli.bench.plan import Plan, Progress, Row
from pvd_core.clouds.measured import is_measured, measured_points
from pvd_core.models import Network
from pvd_core.models.macs import layer_costs

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
    rows: list[Row] = []
    for number, (name, network) in enumerate(plan.networks.items()):
        counts = []
        for scan, points in enumerate(plan.scans.values()):
            counts.append(_voxels_and_macs(network.to(plan.device), points, plan.device))
            if progress is not None:
                progress(number * len(plan.scans) + scan + 1, len(plan.networks) * len(plan.scans))
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


def _voxels_and_macs(network: Network, points: Any, device: torch.device) -> tuple[int, int]:
    measured = measured_points(points, is_measured(points))
    batch = network.grid.voxelise([torch.from_numpy(measured).to(device)])
    if batch.num_voxels == 0:
        return 0, 0
    return batch.num_voxels, sum(cost.macs for cost in layer_costs(network.eval(), batch))
