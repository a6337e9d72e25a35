"""Runs before the first sample."""

import time

_RUNS = 3
_MOST_SECONDS = 10.0


def warm_up(run, least_runs=1):
    """Calls `run(number)` three times, or `least_runs` times if that is more; fewer when calls take long."""
    started, number = time.perf_counter(), 0
    while number < least_runs or (number < _RUNS and time.perf_counter() - started < _MOST_SECONDS):
        run(number)
        number += 1
