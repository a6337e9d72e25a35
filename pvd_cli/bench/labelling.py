"""Clouds from points to labels: the main table."""

import numpy as np

from pvd_cli.bench.job import workplace
from pvd_cli.bench.labelling_rows import labelling_rows
from pvd_cli.bench.turns import measure
from pvd_core.borders.wording import counted


def benchmark(plan, progress=None, pool=False):
    """{"rows": BenchmarkRows as dictionaries, "skipped": combinations that do not run here, with their reason,
    "ended_by": None, or the interrupt before which these rows were measured}. With `pool` the samples go round all
    scans, and a row stands for all of them."""
    with workplace(plan) as files:
        clouds = {name: files.keep_cloud(points) for name, points in plan.scans.items()}
        if pool:
            clouds = {counted(len(clouds), "scan"): tuple(clouds.values())}
        else:
            clouds = {name: (path,) for name, path in clouds.items()}
        groups = [
            [files.job("labelling", network, *engine, clouds[scan], scan=scan) for engine in plan.engines()]
            for network in plan.networks
            for scan in clouds
        ]
        measured = measure(groups, progress)
        labels = [np.load(outcome.job.labels_file) for outcome in measured.outcomes]
    return measured.table(labelling_rows(measured.outcomes, labels))
