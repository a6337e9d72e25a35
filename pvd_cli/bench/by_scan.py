"""The usual measurement: every network on every scan, the engines of each pair in turns."""

from pvd_cli.bench.job import workplace
from pvd_cli.bench.turns import measure


def measure_by_scan(kind, plan, progress):
    """Measured: measurement `kind` for every combination of the plan."""
    with workplace(plan) as files:
        clouds = {name: files.keep_cloud(points) for name, points in plan.scans.items()}
        groups = [
            [files.job(kind, network, *engine, [cloud], scan=scan) for engine in plan.engines()]
            for network in plan.networks
            for scan, cloud in clouds.items()
        ]
        return measure(groups, progress)
