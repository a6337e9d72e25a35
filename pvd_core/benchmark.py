"""How long a cloud takes, against the floor of the network's bare matrix products, in one run on one machine."""

import itertools
import platform
import resource
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from pvd_core.macs import count_macs, layer_costs
from pvd_core.measured import is_measured, measured_points
from pvd_core.segmenter import PRECISIONS, Segmenter, check_precision
from pvd_core.sparse import Sites, SparseConvolution, SparseTensor
from pvd_core.sparse.backends import load_backend
from pvd_core.sparse.backends.products import multiply_into
from pvd_core.voxels import voxelise

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


def benchmark(model, scans, device, runs=100, backends=("reference",), precisions=("fp32",), progress=None):
    """A dictionary of `hardware` and `rows` (BenchmarkRow as dictionaries) of a network on `scans`, {name: (N, 4)
    float32}, on a torch.device."""
    loaded = {backend: load_backend(backend) for backend in backends}
    for precision in precisions:
        check_precision(precision, device)
    rows = []
    for name, points in scans.items():
        for backend, precision in itertools.product(backends, precisions):
            model.backend = loaded[backend]
            segmenter = Segmenter(model, device=device, precision=precision)
            rows.append(asdict(_measure(segmenter, name, points, backend, runs, progress)))
    return {"hardware": hardware(device), "runs": runs, "rows": rows}


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


def _measure(segmenter, name, points, backend, runs, progress):
    unet = _UNetInput(segmenter, points)
    totals_ms = _times_ms(lambda: segmenter.segment(points), runs, segmenter.device, progress)
    short = max(3, runs // 5)
    network_ms = statistics.median(_times_ms(unet.run, short, segmenter.device))
    maps_ms = statistics.median(_times_ms(unet.build_maps, short, segmenter.device))
    floor_ms = statistics.median(_times_ms(unet.bare_products(), short, segmenter.device))
    return BenchmarkRow(
        scan=name,
        backend=backend,
        precision=segmenter.precision,
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
        self._dtype = PRECISIONS[segmenter.precision]
        scan = torch.from_numpy(measured_points(points, is_measured(points))).to(segmenter.device)
        self.batch = voxelise([scan], self._model.grid)
        with torch.inference_mode(), self._autocast(scan.device):
            features_PD = self._model.point_mlp(self.batch.point_features_PF)
            self._features_VE = self._model.voxel_compress(features_PD, self.batch)

    @torch.inference_mode()
    def run(self):
        with self._autocast(self._features_VE.device):
            return self._model.head["conv"](self._model.backbone(SparseTensor(self._features_VE, self._sites())))

    @torch.inference_mode()
    def build_maps(self):
        """The kernel maps that the network uses, from fresh sites."""
        sites = self._sites()
        for block in self._model.backbone.encoder:
            for kernel in self._kernels_at(sites):
                sites.submanifold_map(kernel)
            sites, _ = sites.downsampled(block.down.stride)
        sites.submanifold_map((3, 3, 3))

    def bare_products(self):
        """A function that runs every matrix product of the U-Net, as the reference backend multiplies, on random
        operands of the same shapes."""
        sparse = {name for name, module in self._model.named_modules() if isinstance(module, SparseConvolution)}
        like = {"device": self._features_VE.device, "dtype": self._dtype or torch.float32}
        products = []
        for cost in layer_costs(self._model, self.batch):
            if cost.name in sparse:
                most_rows = max(cost.rows)
                operands = torch.randn(most_rows, cost.in_channels, **like)
                weight = torch.randn(cost.in_channels, cost.out_channels, **like)
                result = torch.empty(most_rows, cost.out_channels, **like)
                products += [(result[:n], operands[:n], weight) for n in cost.rows if n]

        @torch.inference_mode()
        def run():
            for result, operands, weight in products:
                multiply_into(result, operands, weight)

        return run

    def _sites(self):
        return Sites(self.batch.coords_V4, self.batch.grid.shape, 1, self._model.backend)

    def _autocast(self, device):
        return torch.autocast(device.type, self._dtype, enabled=self._dtype is not None)

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
