"""How long clouds take on this machine: labelling against the floor of the network's bare matrix products, by layer and
by stage, as clouds and batches grow, and a training step against a forward pass."""

from pvd_cli.bench.breakdown import layer_rows, stage_rows
from pvd_cli.bench.growth import batch_rows, growth_rows
from pvd_cli.bench.labelling import benchmark
from pvd_cli.bench.macs import macs_rows
from pvd_cli.bench.plan import Plan
from pvd_cli.bench.report import as_markdown
from pvd_cli.bench.training_step import training_rows

__all__ = [
    "Plan",
    "as_markdown",
    "batch_rows",
    "benchmark",
    "growth_rows",
    "layer_rows",
    "macs_rows",
    "stage_rows",
    "training_rows",
]
