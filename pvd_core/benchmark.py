"""How long a cloud takes, against the floor of the network's bare matrix products, in one run on one machine."""

import platform
import resource
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from pvd_core.errors import UserError
from pvd_core.macs import count_macs, layer_costs
from pvd_core.segmenter import PRECISIONS
from pvd_core.sparse import Sites, SparseConvolution, SparseTensor
from pvd_core.voxels import voxelise

BACKENDS = ("reference",)
_WARM_UP_RUNS = 3


@dataclass(frozen=True)
class BenchmarkRow:
    """One scan, backend and precision. `network_ms` is the sparse U-Net with its kernel maps, `maps_ms` the maps alone,
    `floor_ms` the U-Net's matrix products alone on operands that lie ready; all medians."""

    scan: str
    backend: str
    precision: str
    threads: int
    points: int
    voxels: int
    macs: int
    median_ms: float
    p90_ms: float
    p99_ms: float
    network_ms: float
    maps_ms: float
    floor_ms: float
    ratio_to_floor: float
    ratio_to_spconv: float | None
    peak_mb: float


def benchmark(segmenter, scans, runs=100, backends=("reference",), precisions=("fp32",), progress=None):
    """A dictionary of `hardware` and `rows` (BenchmarkRow as dictionaries) for `scans`: {name: (N, 4) float32}."""
    for values, known, what in ((backends, BACKENDS, "backend"), (precisions, PRECISIONS, "precision")):
        for value in values:
            if value not in known:
                raise UserError(f"{what} {value!r}: this version has {', '.join(known)}")
    rows = [
        asdict(_measure(segmenter, name, points, backend, precision, runs, progress))
        for name, points in scans.items()
        for backend in backends
        for precision in precisions
    ]
    return {"hardware": hardware(segmenter.device), "runs": runs, "rows": rows}


def hardware(device):
    """What the numbers were measured on."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "cpu": _cpu_name(),
        "threads": torch.get_num_threads(),
        "gpu": gpu,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
    }


def as_table(rows):
    """The rows as a Markdown table."""
    names = list(rows[0])
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(_cell(row[name]) for name in names) + " |" for row in rows]
    return "\n".join(lines)


def _measure(segmenter, name, points, backend, precision, runs, progress):
    unet = _UNetInput(segmenter, points)
    totals_ms = _times_ms(lambda: segmenter.segment(points), runs, segmenter.device, progress)
    short = max(3, runs // 5)
    network_ms = statistics.median(_times_ms(unet.run, short, segmenter.device))
    maps_ms = statistics.median(_times_ms(unet.build_maps, short, segmenter.device))
    floor_ms = statistics.median(_times_ms(unet.bare_products(), short, segmenter.device))
    return BenchmarkRow(
        scan=name,
        backend=backend,
        precision=precision,
        threads=torch.get_num_threads(),
        points=len(points),
        voxels=unet.batch.num_voxels,
        macs=count_macs(segmenter.model, unet.batch)[0],
        median_ms=statistics.median(totals_ms),
        p90_ms=float(np.percentile(totals_ms, 90)),
        p99_ms=float(np.percentile(totals_ms, 99)),
        network_ms=network_ms,
        maps_ms=maps_ms,
        floor_ms=floor_ms,
        ratio_to_floor=network_ms / floor_ms,
        ratio_to_spconv=None,
        peak_mb=_peak_mb(segmenter.device),
    )


class _UNetInput:
    """The sparse U-Net of a Segmenter on one scan, ready to run from fresh sites."""

    def __init__(self, segmenter, points):
        self._model = segmenter.model
        is_finite = np.isfinite(points).all(axis=1)
        scan = torch.from_numpy(np.ascontiguousarray(points[is_finite])).to(segmenter.device)
        self.batch = voxelise([scan], self._model.grid)
        with torch.inference_mode():
            features_PD = self._model.point_mlp(self.batch.point_features_PF)
            self._features_VE = self._model.voxel_compress(features_PD, self.batch)

    @torch.inference_mode()
    def run(self):
        sites = Sites(self.batch.coords_V4, self.batch.grid.shape, 1)
        return self._model.head["conv"](self._model.backbone(SparseTensor(self._features_VE, sites)))

    @torch.inference_mode()
    def build_maps(self):
        """The kernel maps that the network uses, from fresh sites."""
        sites = Sites(self.batch.coords_V4, self.batch.grid.shape, 1)
        for block in self._model.backbone.encoder:
            for kernel in self._kernels_at(sites):
                sites.submanifold_map(kernel)
            sites, _ = sites.downsampled(block.down.stride)
        sites.submanifold_map((3, 3, 3))

    def bare_products(self):
        """A function that runs every matrix product of the U-Net on random operands of the same shapes."""
        sparse = {name for name, module in self._model.named_modules() if isinstance(module, SparseConvolution)}
        products = []
        for cost in layer_costs(self._model, self.batch):
            if cost.name in sparse:
                most_rows = max(cost.rows)
                operands = torch.randn(most_rows, cost.in_channels, device=self._features_VE.device)
                weight = torch.randn(cost.in_channels, cost.out_channels, device=self._features_VE.device)
                result = torch.empty(most_rows, cost.out_channels, device=self._features_VE.device)
                products += [(operands[:n], weight, result[:n]) for n in cost.rows if n]

        def run():
            for operands, weight, result in products:
                torch.mm(operands, weight, out=result)

        return run

    def _kernels_at(self, sites):
        plain = [(1, 3, 3), (3, 1, 3), (3, 3, 3)]
        is_finest = sites.shape == self.batch.grid.shape
        return [*plain, *((3, 1, 1), (1, 3, 1), (1, 1, 3))] if is_finest else plain


def _times_ms(function, runs, device, progress=None):
    synchronize = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    for _ in range(_WARM_UP_RUNS):
        function()
    synchronize()
    times_ms = []
    for run in range(runs):
        start = time.perf_counter()
        function()
        synchronize()
        times_ms.append((time.perf_counter() - start) * 1e3)
        if progress is not None:
            progress(run + 1, runs)
    return times_ms


def _peak_mb(device):
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _cpu_name():
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def _cell(value):
    if isinstance(value, float):
        return f"{value:.2f}" if value < 10 else f"{value:.0f}"
    return "-" if value is None else str(value)
