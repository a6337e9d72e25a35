"""The measuring process: reads a job, then requests for samples, from stdin, and answers on stdout; each is a line of
JSON."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, TextIO

import numpy as np
import torch

from pvd_cli.bench.breakdown import LayerTimes, StageTimes
from pvd_cli.bench.growth import BatchTimes
from pvd_cli.bench.labelling import LabellingTimes
from pvd_cli.bench.measurement import Measurement, has_room_for_another
from pvd_cli.bench.plan import Job
from pvd_cli.bench.training_step import TrainingTimes
from pvd_core.borders.errors import UserError
from pvd_core.segmenter import Segmenter
from pvd_core.sparse.backends import load_backend
from pvd_core.weights import load_model

_KINDS: Mapping[str, Callable[[Segmenter, list[np.ndarray], Job], Measurement]] = {
    "labelling": LabellingTimes,
    "layers": LayerTimes,
    "stages": StageTimes,
    "batch": BatchTimes,
    "training": TrainingTimes,
}

# Quick measurements take several samples in a turn: only the first one after another process ran has cold caches.
_TURN_SECONDS = 1.0


def main() -> None:
    # Ctrl-C reaches all processes of a terminal, SIGTERM often a whole group. The process that started this ends it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    requests, answers = sys.stdin, _own_stdout()
    job = Job(**json.loads(requests.readline()))
    try:
        measurement = _measurement(job)
    except (UserError, torch.cuda.OutOfMemoryError) as error:
        _answer(answers, {"cannot": str(error).splitlines()[0]})
        return
    facts = {"threads": torch.get_num_threads(), **measurement.facts}
    _answer(answers, {"facts": facts, "has_room_for_another": has_room_for_another(torch.device(job.device))})
    for line in requests:
        _answer(answers, {"samples": _one_turn(measurement, **json.loads(line))})


def _own_stdout() -> TextIO:
    """stdout for answers; all else that is printed goes to stderr from now on."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answers


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
    return _KINDS[job.kind](segmenter, [np.load(path) for path in job.clouds], job)


def _one_turn(measurement: Measurement, first: int, most: int) -> list[dict[str, float]]:
    started = time.perf_counter()
    samples: list[dict[str, float]] = []
    while len(samples) < most and (not samples or time.perf_counter() - started < _TURN_SECONDS):
        samples.append(measurement.repeat(first + len(samples)))
    return samples


def _answer(answers: TextIO, message: Mapping[str, Any]) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
