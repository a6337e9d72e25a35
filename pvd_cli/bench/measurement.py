"""A measurement as the measuring process makes it, and its warm-up."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

# The first run compiles kernels. A third one improves little, too little for runs that take seconds.
_RUNS, _LEAST_RUNS = 3, 2
_LONG_SECONDS = 4.0


@dataclass
class Measurement:
    """Of one job, warm."""

    repeat: Callable[[int], dict[str, float]]
    """Runs once and returns {what: milliseconds}; its argument counts the repeats from 0."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What is known of the job besides times: threads, points, voxels, memory."""
    labels: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint8))
    """Of the clouds, where it labels them."""

    def __post_init__(self) -> None:
        self.facts = {"threads": torch.get_num_threads(), **self.facts}


def warm_up(run: Callable[[int], object], least_runs: int = 0) -> None:
    """Calls `run(number)` three times, two when calls take long, or `least_runs` times if that is more."""
    number, last_seconds = 0, 0.0
    while number < max(least_runs, _LEAST_RUNS) or (number < _RUNS and last_seconds < _LONG_SECONDS):
        started = time.perf_counter()
        run(number)
        last_seconds = time.perf_counter() - started
        number += 1
