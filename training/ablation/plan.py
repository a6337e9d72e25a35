"""The runs that a grid takes: settings, what each needs first, its folder."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pvd_core import default_weights
from pvd_core.borders.errors import UserError
from pvd_core.borders.settings import filled
from training.ablation.grid import PRETRAINED, RANDOM, SEED_STEP, TEACHER, merged
from training.ablation.near_far import write_near_far
from training.run.config import DEFAULT_MODEL, TrainConfig
from training.run.run_folder import RunFolder


@dataclass(frozen=True)
class Run:
    """One training, or, with `weights`, one network that is there already and only scored."""

    row: str
    seed: int
    folder: Path
    config: TrainConfig
    needs: tuple[Path, ...] = ()
    """Folders of the runs that must have finished."""
    weights: str | None = None

    @property
    def name(self):
        return f"{self.folder.parent.name}/{self.folder.name}"


@dataclass(frozen=True)
class Plan:
    runs: tuple[Run, ...]
    """Seed by seed, each after those that it needs."""
    by_row: dict
    """{row: [the run that it shows, for each seed]}."""


def make_plan(grid, dataset, out, only=()):
    """Plan of a GridConfig with the runs in `out`; `only`: names of the rows to be run, all if there are none."""
    wanted = _wanted_rows(grid, only)
    builder = _Builder(grid, *_dataset_and_runs(grid, dataset, out))
    by_row = {row.name: [builder.run_of(row, seed) for seed in grid.seeds] for row in grid.rows}
    needed = {run.folder for row in wanted for run in by_row[row]}
    # A run is made after those that it needs, so going backwards finds them all.
    for run in reversed(builder.runs.values()):
        needed.update(run.needs if run.folder in needed else ())
    ordered = [run for seed in grid.seeds for run in builder.runs.values() if run.seed == seed and run.folder in needed]
    return Plan(tuple(ordered), by_row)


def prepare_data(grid, dataset, out):
    """Makes the data set that the runs of a grid use, where it is not `dataset` itself and not there yet."""
    if grid.near_far is not None:
        config = filled(TrainConfig, {**_named(grid.settings), "dataset": str(dataset)})
        folder, _ = _dataset_and_runs(grid, dataset, out)
        write_near_far(dataset, folder, config.sequences, config.validation.sequences, grid.near_far)


class _Builder:
    def __init__(self, grid, dataset, folder):
        self.grid, self.dataset, self.folder = grid, str(dataset), folder
        self.rows = {row.name: row for row in grid.rows}
        self.runs = {}
        """{(row, seed): Run}."""

    def run_of(self, row, seed):
        if row.shows is not None:
            return self._teacher(seed) if row.shows == TEACHER else self._pretrained(seed)
        return self._once(row.name, seed, partial(self._student, row))

    def _teacher(self, seed):
        config = self.grid.teacher
        weights = str(default_weights()) if config.weights == "shipped" else config.weights
        if weights is not None or not config.for_each_seed:
            seed = self.grid.seeds[0]
        return self._once(TEACHER, seed, partial(self._run, TEACHER, [config.settings], weights=weights))

    def _pretrained(self, seed):
        layers = [self.grid.student, self.grid.pretraining]
        return self._once(PRETRAINED, seed, partial(self._run, PRETRAINED, layers))

    def _student(self, row, seed):
        layers, needs = [self.grid.student, row.settings], []
        start, depth = row.starts_from or self.grid.starts_from, 1
        if row.distillation is not None or start == TEACHER:
            teacher = self._teacher(seed)
            needs.append(teacher)
        if row.distillation is not None:
            layers.append({"distillation": self._distillation(row, teacher)})
        if start == TEACHER:
            layers.append({"initial_weights": _weights(teacher), "initial_slice": True})
        elif start != RANDOM:
            first = self._pretrained(seed) if start == PRETRAINED else self.run_of(self.rows[start], seed)
            depth = 1 + first.config.seed // SEED_STEP
            needs.append(first)
            layers.append({"initial_weights": _weights(first)})
        return self._run(row.name, layers, seed, needs, SEED_STEP * depth)

    def _distillation(self, row, teacher):
        method = row.distillation.get("method", "pvd")
        common = {"method": method, "backbone": self.grid.backbone, "settings": self.grid.methods.get(method, {})}
        return merged(common, row.distillation, {"teacher": _weights(teacher)})

    def _run(self, row, layers, seed, needs=(), seed_offset=0, weights=None):
        values = merged({"model": {"name": DEFAULT_MODEL}}, *map(_named, [self.grid.settings, *layers]))
        try:
            config = filled(TrainConfig, {**values, "dataset": self.dataset, "seed": seed + seed_offset})
        except UserError as error:
            raise UserError(f"row {row!r}: {error}") from error
        if config.max_minutes is not None:
            raise UserError(f"row {row!r}: max_minutes is {config.max_minutes}: the runs of a grid end by their steps")
        return Run(row, seed, self.folder / f"seed{seed}" / row, config, tuple(run.folder for run in needs), weights)

    def _once(self, row, seed, make):
        if (row, seed) not in self.runs:
            # After those that it needs, which are made meanwhile.
            run = make(seed)
            self.runs[row, seed] = run
        return self.runs[row, seed]


def _wanted_rows(grid, only):
    """Names of rows."""
    for name in only:
        if name not in grid.row_names:
            raise UserError(f"grid {grid.name} has no row {name!r}; it has {', '.join(grid.row_names)}")
    return only or grid.row_names


def _dataset_and_runs(grid, dataset, out):
    """Grids in one folder share their runs, but not those on another partition of the data."""
    if grid.near_far is None:
        return dataset, Path(out, "runs")
    folder = Path(out, grid.name, grid.near_far.folder_name)
    return folder / "data", folder / "runs"


def _weights(run):
    return run.weights or str(RunFolder(run.folder).last_weights)


def _named(settings):
    """Settings with the model as a section, so that single fields of it can be laid over."""
    model = settings.get("model")
    return {**settings, "model": {"name": model}} if isinstance(model, str) else settings
