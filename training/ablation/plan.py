"""The runs that a grid needs: settings and folder of each, and which other runs have to finish first."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pvd_core import SHIPPED_WEIGHTS, shipped_weights
from pvd_core.borders.errors import UserError
from pvd_core.borders.settings import filled
from training.ablation.grid import PRETRAINED, RANDOM, SEED_STEP, TEACHER, GridConfig, RowConfig, merged
from training.ablation.near_far import write_near_far
from training.run.config import DEFAULT_MODEL, NAMES_OF_MODELS, TrainConfig, with_precision
from training.run.run_folder import RunFolder


@dataclass(frozen=True)
class Run:
    """One training or, with `weights`, the scoring of a network that exists already."""

    row: str
    """Name of the row, "teacher" or "pretrained"."""
    seed: int
    """Of the grid; the seed of `config` may be another one."""
    folder: Path
    config: TrainConfig
    needs: tuple[Path, ...] = ()
    """Folders of the runs that have to finish first."""
    weights: str | None = None
    """The weights file that is scored."""

    @property
    def name(self) -> str:
        """Seed and row, such as seed0/pvd."""
        return f"{self.folder.parent.name}/{self.folder.name}"


@dataclass(frozen=True)
class Plan:
    """The runs to be done, and the runs that the table shows."""

    runs: tuple[Run, ...]
    """Seed by seed, each after those that it needs."""
    by_row: dict[str, list[Run]]
    """{row: [for each seed the run that it shows]}, of all rows."""


def make_plan(grid: GridConfig, dataset: str | Path, out: str | Path, only: Sequence[str] = ()) -> Plan:
    """The plan of a grid whose runs lie in the folder `out`. `only`: names of the rows to be run; empty for all.

    UserError for an unknown row and for settings that do not fit together.
    """
    wanted = _wanted_rows(grid, only)
    builder = _Builder(grid, *_dataset_and_runs(grid, dataset, out))
    by_row = {row.name: [builder.run_of(row, seed) for seed in grid.seeds] for row in grid.rows}
    builder.check_unused(grid.seeds[0])
    needed = {run.folder for row in wanted for run in by_row[row]}
    # A run is made after those that it needs, so going backwards finds them all.
    for run in reversed(builder.runs.values()):
        needed.update(run.needs if run.folder in needed else ())
    ordered = [run for seed in grid.seeds for run in builder.runs.values() if run.seed == seed and run.folder in needed]
    return Plan(tuple(ordered), by_row)


def prepare_data(grid: GridConfig, dataset: str | Path, out: str | Path) -> None:
    """Writes the re-partitioned data set that the grid trains on, if it has one and it is missing."""
    if grid.near_far is not None:
        config = filled(TrainConfig, {**_named(grid.settings), "dataset": str(dataset)})
        folder, _ = _dataset_and_runs(grid, dataset, out)
        write_near_far(
            dataset, folder, config.sequences, config.validation.sequences, grid.near_far, config.columns, grid.taxonomy
        )


class _Builder:
    def __init__(self, grid: GridConfig, dataset: str | Path, folder: Path) -> None:
        self.grid, self.dataset, self.folder = grid, str(dataset), folder
        self.rows = {row.name: row for row in grid.rows}
        self.runs: dict[tuple[str, int], Run] = {}
        """{(row, seed): Run}, each after those that it needs."""

    def run_of(self, row: RowConfig, seed: int) -> Run:
        if row.shows is not None:
            return self._teacher(seed) if row.shows == TEACHER else self._pretrained(seed)
        return self._once(row.name, self.grid.seeds[0] if row.once else seed, partial(self._student, row))

    def check_unused(self, seed: int) -> None:
        """UserError for mistakes in settings that no row takes."""
        self._teacher(seed)
        if self.grid.pretraining:
            self._pretrained(seed)
        for method, settings in self.grid.methods.items():
            distillation = {"method": method, "teacher": "unused", "settings": settings}
            self._run(f"methods.{method}", [self.grid.student, {"distillation": distillation}], seed)

    def _teacher(self, seed: int) -> Run:
        config = self.grid.teacher
        weights = config.weights
        if weights in SHIPPED_WEIGHTS:
            weights = str(shipped_weights(weights))
        if weights is not None or not config.for_each_seed:
            seed = self.grid.seeds[0]
        return self._once(TEACHER, seed, partial(self._run, TEACHER, [config.settings], weights=weights))

    def _pretrained(self, seed: int) -> Run:
        layers = [self.grid.student, self.grid.pretraining or {}]
        return self._once(PRETRAINED, seed, partial(self._run, PRETRAINED, layers))

    def _student(self, row: RowConfig, seed: int) -> Run:
        layers: list[Mapping[str, Any]] = [self.grid.student, row.settings]
        needs: list[Run] = []
        start, depth = row.starts_from or self.grid.starts_from, 1
        if row.distillation is not None or start == TEACHER:
            needs.append(self._teacher(seed) if row.teacher is None else self.run_of(self.rows[row.teacher], seed))
        if row.distillation is not None:
            layers.append({"distillation": self._distillation(row.distillation, needs[0])})
        if start == TEACHER:
            layers.append({"initial_weights": _weights(needs[0]), "initial_slice": True})
        elif start != RANDOM:
            first = self._pretrained(seed) if start == PRETRAINED else self.run_of(self.rows[start], seed)
            depth = 1 + first.config.seed // SEED_STEP
            needs.append(first)
            layers.append({"initial_weights": _weights(first)})
        return self._run(row.name, layers, seed, needs, SEED_STEP * depth)

    def _distillation(self, of_row: dict[str, Any], teacher: Run) -> dict[str, Any]:
        method = of_row.get("method", "pvd")
        # A method that is no text is refused with the rest of the config.
        settings = self.grid.methods.get(method, {}) if isinstance(method, str) else {}
        common = {"method": method, "backbone": self.grid.backbone, "settings": settings}
        return merged(common, of_row, {"teacher": _weights(teacher)})

    def _run(
        self,
        row: str,
        layers: Iterable[Mapping[str, Any]],
        seed: int,
        needs: Iterable[Run] = (),
        seed_offset: int = 0,
        weights: str | None = None,
    ) -> Run:
        values = merged({"model": {}}, *map(_named, [self.grid.settings, *layers]))
        if values["model"] is None:
            raise UserError(f"row {row!r}: model is null: a grid is planned before its weights are there; name a model")
        if values["model"].keys().isdisjoint(NAMES_OF_MODELS):
            values["model"]["name"] = DEFAULT_MODEL
        try:
            config = filled(TrainConfig, {**values, "dataset": self.dataset, "seed": seed + seed_offset})
            # As the run will record it, or it would look like another run afterwards.
            config = with_precision(config)
        except UserError as error:
            raise UserError(f"row {row!r}: {error}") from error
        if config.max_minutes is not None:
            raise UserError(f"row {row!r}: max_minutes is {config.max_minutes}: the runs of a grid end by their steps")
        return Run(row, seed, self.folder / f"seed{seed}" / row, config, tuple(run.folder for run in needs), weights)

    def _once(self, row: str, seed: int, make: Callable[[int], Run]) -> Run:
        if (row, seed) not in self.runs:
            # `make` adds the runs that this one needs, so they come first in the dictionary.
            run = make(seed)
            self.runs[row, seed] = run
        return self.runs[row, seed]


def _wanted_rows(grid: GridConfig, only: Sequence[str]) -> Sequence[str]:
    """Names of rows."""
    for name in only:
        if name not in grid.row_names:
            raise UserError(f"grid {grid.name} has no row {name!r}; it has {', '.join(grid.row_names)}")
    return only or grid.row_names


def _dataset_and_runs(grid: GridConfig, dataset: str | Path, out: str | Path) -> tuple[str | Path, Path]:
    """(data set, folder of the runs). Grids with the same `out` share their runs, except on re-partitioned data."""
    if grid.near_far is None:
        return dataset, Path(out, "runs")
    folder = Path(out, grid.name, grid.near_far.folder_name)
    return folder / "data", folder / "runs"


def _weights(run: Run) -> str:
    return run.weights or str(RunFolder(run.folder).last_weights)


def _named(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Settings with the model as a section, so that single fields can be laid over it."""
    model = settings.get("model")
    return {**settings, "model": {"name": model}} if isinstance(model, str) else settings
