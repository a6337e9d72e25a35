"""How long clouds take on this machine: labelling against the floor of the network's bare matrix products, by layer and
by stage, as clouds and batches grow, and a training step against a forward pass."""

from pvd_core.benchmark.growth import DEFAULT_SIZES, batch_rows, growth_rows
from pvd_core.benchmark.hardware import hardware, versions
from pvd_core.benchmark.labelling import benchmark
from pvd_core.benchmark.layers import layer_rows
from pvd_core.benchmark.plan import Plan
from pvd_core.benchmark.report import as_markdown
from pvd_core.benchmark.stages import stage_rows
from pvd_core.benchmark.tables import as_table
from pvd_core.benchmark.training_step import training_rows

__all__ = [
    "DEFAULT_SIZES",
    "Plan",
    "as_markdown",
    "as_table",
    "batch_rows",
    "benchmark",
    "growth_rows",
    "hardware",
    "layer_rows",
    "stage_rows",
    "training_rows",
    "versions",
]
