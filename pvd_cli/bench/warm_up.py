"""Runs before the first sample."""

import time

# The first run compiles kernels; what the third one adds is worth less than it costs where a run takes seconds.
_RUNS, _LEAST_RUNS = 3, 2
_LONG_SECONDS = 4.0


def warm_up(run, least_runs=_LEAST_RUNS):
    """Calls `run(number)` three times, two when calls take long, or `least_runs` times if that is more."""
    number, last_seconds = 0, 0.0
    while number < max(least_runs, _LEAST_RUNS) or (number < _RUNS and last_seconds < _LONG_SECONDS):
        started = time.perf_counter()
        run(number)
        last_seconds = time.perf_counter() - started
        number += 1
