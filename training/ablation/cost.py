"""What the network of a row costs on this machine: parameters, multiply-accumulates, time from points to labels,
memory."""

import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from pvd_core.borders.files import write_atomically
from pvd_core.models.macs import layer_costs
from pvd_core.runtime.hardware import hardware
from pvd_core.runtime.memory import peak_mb
from pvd_core.runtime.processes import labelling_processes
from pvd_core.segmenter import Segmenter
from training.ablation.plan import Run
from training.data.dataset import ScanFolder, usable_points
from training.run.run_folder import RunFolder

_FILE = "cost.json"
_NUM_SCANS, _NUM_REPEATS = 5, 4


def cost_of(run: Run, dataset: str | Path) -> dict[str, Any]:
    """Of the network that a finished run left: {"num_parameters", "gmacs" (mean), "latency_ms" (median), "peak_mb",
    "latency_on"} over some validation scans of `dataset`. Measured once and kept in the run's folder."""
    path = run.folder / _FILE
    if path.is_file():
        return json.loads(path.read_text(encoding="utf-8"))
    weights = run.weights or RunFolder(run.folder).last_weights
    segmenter = Segmenter.from_weights(weights, run.config.device)
    folder = ScanFolder(dataset, run.config.validation.sequences, run.config.columns)
    scans = [usable_points(folder.points(index))[0] for index in folder.evenly_spaced(_NUM_SCANS)]
    cost = {
        "num_parameters": segmenter.model.num_parameters,
        "gmacs": statistics.fmean(
            sum(layer.macs for layer in layer_costs(segmenter.model, segmenter.batch_of(points))) / 1e9
            for points in scans
        ),
        "latency_ms": _latency_ms(segmenter, scans),
        "peak_mb": _peak_mb(weights, run.config.device, scans),
        "latency_on": {**hardware(segmenter.device), "threads": torch.get_num_threads()},
    }
    write_atomically(path, json.dumps(cost, indent=2).encode())
    return cost


def _latency_ms(segmenter: Segmenter, scans: list[Any]) -> float:
    """Median over the scans, each labelled several times, in turns; the first turn warms up."""
    samples = []
    for turn in range(1 + _NUM_REPEATS):
        for points in scans:
            start = time.perf_counter()
            segmenter.segment(points)
            if turn:
                samples.append((time.perf_counter() - start) * 1e3)
    return statistics.median(samples)


def _peak_mb(weights: Any, device: str, scans: list[Any]) -> float:
    """Peak memory of a process that only labels the scans, as a node does."""
    with labelling_processes().Pool(1) as pool:
        return pool.apply(_label_all, (weights, device, scans))


def _label_all(weights: Any, device: str, scans: list[Any]) -> float:
    segmenter = Segmenter.from_weights(weights, device)
    for points in scans:
        segmenter.segment(points)
    return peak_mb(segmenter.device)
