"""Latency from a cloud's bytes to its labels on the host, a row for each network and precision."""

import argparse
import functools
import json
import multiprocessing
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from pvd_core.programs.message import ArrayLayout
from pvd_core.segmenter import Segmenter
from scripts.gpu.report import Rows
from scripts.gpu.sizes import network, sizes_on
from scripts.gpu.step_options import clouds_of, run_main, seconds_left, step_parser

_WARM_UP_CLOUDS = 10
_SHARE_OF_COMPILING = 0.6


def main() -> None:
    options = step_parser(__doc__).parse_args()
    sizes, rows, clouds = sizes_on(options.device), Rows(options.json), clouds_of(options)
    waiting = [(name, "triton", precision) for name in sizes.networks for precision in sizes.precisions]
    waiting += [(name, "reference", "fp32") for name in sizes.networks]
    if sizes.num_processes > 1:
        _compile_side_by_side([way[0::2] for way in waiting if way[1] == "triton"], options)
    while waiting and seconds_left(options) > 0:
        name, backend, precision = waiting[0]
        programs = sizes.programs[backend]
        names = {"network": name, "backend": backend, "precision": precision, "programs": programs}
        model = network(sizes.networks[name], options.device)
        plain = Segmenter(model, device=options.device, backend="reference")
        expected = [plain.segment(points).labels for points in clouds]
        build = functools.partial(Segmenter, model, None, options.device, precision, backend, programs)
        rows.add_measured(
            names, functools.partial(_measured, build, clouds, expected, sizes.runs, options, len(waiting))
        )
        waiting.pop(0)
    print(f"not measured for want of time: {json.dumps(waiting)}")


def _compile_side_by_side(ways: list[tuple[str, ...]], options: argparse.Namespace) -> None:
    """Lets a process for each (network, precision) compile its kernels, which Triton keeps for the measuring process.
    One after another they would take all the time."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_compile, args=(*way, options)) for way in ways]
    end = time.monotonic() + _SHARE_OF_COMPILING * seconds_left(options)
    for process in processes:
        process.start()
    for process in processes:
        process.join(max(end - time.monotonic(), 0))
        process.terminate()


def _compile(name: str, precision: str, options: argparse.Namespace) -> None:
    model = network(sizes_on(options.device).networks[name], options.device)
    points = clouds_of(options)[0]
    segmenter = Segmenter(model, None, options.device, precision, "triton", "eager")
    segmenter.segment_bytes(points.tobytes(), ArrayLayout(len(points)))


def _measured(
    build: Callable[[], Segmenter],
    clouds: list[np.ndarray],
    expected: list[np.ndarray],
    most_runs: int,
    options: argparse.Namespace,
    num_waiting: int,
) -> dict[str, Any]:
    """Percentiles over clouds in turns, after warm-up; `same_labels`: share of those of the reference in fp32."""
    segmenter = build()
    seconds = seconds_left(options) / num_waiting
    messages = [(points.tobytes(), ArrayLayout(len(points))) for points in clouds]
    end = time.monotonic() + seconds
    if segmenter.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    segmenter.segment_bytes(*messages[0])
    first_ms = (time.perf_counter() - start) * 1e3
    for number in range(min(_WARM_UP_CLOUDS, most_runs)):
        if time.monotonic() < end - seconds / 2:
            segmenter.segment_bytes(*messages[number % len(messages)])
    times_ms: list[float] = []
    while not times_ms or (len(times_ms) < most_runs and time.monotonic() < end):
        start = time.perf_counter()
        segmenter.segment_bytes(*messages[len(times_ms) % len(messages)])
        times_ms.append((time.perf_counter() - start) * 1e3)
    labels = [segmenter.segment_bytes(*message).labels for message in messages]
    counters = {name: count for name, count in segmenter.counters.items() if count}
    return {
        **{f"p{percent}_ms": float(np.percentile(times_ms, percent)) for percent in (50, 90, 99)},
        "runs": len(times_ms),
        "first_ms": first_ms,
        "same_labels": float((np.concatenate(labels) == np.concatenate(expected)).mean()),
        "peak_mb": torch.cuda.max_memory_allocated() / 2**20 if segmenter.device.type == "cuda" else None,
        "counters": ", ".join(f"{name} {count}" for name, count in counters.items()),
    }


if __name__ == "__main__":
    run_main(main)
