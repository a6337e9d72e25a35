"""The measuring process: gets a job, then requests for samples, and answers each, by the pipe whose number is its
argument."""

import contextlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch

from pvd_cli.bench.breakdown import layer_times, stage_times
from pvd_cli.bench.growth import batch_times
from pvd_cli.bench.labelling import labelling_times
from pvd_cli.bench.measurement import Measurement
from pvd_cli.bench.plan import Job
from pvd_cli.bench.training_step import training_times
from pvd_core.borders.errors import UserError
from pvd_core.runtime.memory import field_mb
from pvd_core.segmenter import Segmenter
from pvd_core.sparse.backends import load_backend
from pvd_core.weights import load_model

_KINDS: Mapping[str, Callable[[Segmenter, Sequence[np.ndarray], int], Measurement]] = {
    "labelling": labelling_times,
    "layers": layer_times,
    "stages": stage_times,
    "batch": batch_times,
    "training": training_times,
}

# Quick measurements take several samples in a turn: only the first one after another process ran has cold caches.
_TURN_SECONDS = 1.0

# What a process with a CUDA context takes on the GPU besides its tensors.
_CUDA_CONTEXT_MB = 600


def main() -> None:
    with Connection(int(sys.argv[1])) as connection:
        try:
            job = connection.recv()
        except (EOFError, OSError):  # the other end was closed, perhaps within the message
            return
        answer, measurement = _answer(job)
        with contextlib.suppress(EOFError, ConnectionError):  # the other end was closed, perhaps within a turn
            connection.send(answer)
            while measurement is not None:
                connection.send(_one_turn(measurement, *connection.recv()))


def _answer(job: Job) -> tuple[dict[str, Any], Measurement | None]:
    """What is said of a job, and its measurement, warm; None where it does not run here."""
    try:
        measurement = _measurement(job)
    except (UserError, torch.cuda.OutOfMemoryError) as error:
        return {"cannot": str(error).splitlines()[0]}, None
    has_room = _has_room_for_another(torch.device(job.device))
    facts = {"facts": measurement.facts, "labels": measurement.labels, "has_room_for_another": has_room}
    return facts, measurement


def _measurement(job: Job) -> Measurement:
    if job.threads:
        torch.set_num_threads(job.threads)
    if torch.device(job.device).index is not None:
        torch.cuda.set_device(job.device)  # events are recorded on the current device
    model, facts = load_model(job.weights, job.device)
    model.bare_statistics = None  # so that every cloud goes through the network that is looked into
    model.requires_grad_(job.kind == "training")
    model.backend = load_backend(job.names["backend"])
    # Nothing can be timed inside programs, so only measurements of whole clouds use them.
    programs = "auto" if job.kind == "labelling" else "off"
    segmenter = Segmenter(model, facts, job.device, job.names["precision"], programs=programs)
    return _KINDS[job.kind](segmenter, job.clouds, job.runs)


def _one_turn(measurement: Measurement, first: int, most: int) -> list[dict[str, float]]:
    started = time.perf_counter()
    samples: list[dict[str, float]] = []
    while len(samples) < most and (not samples or time.perf_counter() - started < _TURN_SECONDS):
        samples.append(measurement.repeat(first + len(samples)))
    return samples


def _has_room_for_another(device: torch.device) -> bool:
    """Whether there is memory for a process that needs twice what this one has taken."""
    free_mb, own_mb = field_mb("/proc/meminfo", "MemAvailable"), field_mb("/proc/self/status", "VmHWM")
    has_room = free_mb is not None and own_mb is not None and free_mb > 2 * own_mb
    if device.type == "cuda":
        free_gpu_mb = torch.cuda.mem_get_info(device)[0] / 2**20
        own_gpu_mb = torch.cuda.max_memory_reserved(device) / 2**20 + _CUDA_CONTEXT_MB
        has_room = has_room and free_gpu_mb > 2 * own_gpu_mb
    return has_room


if __name__ == "__main__":
    main()
