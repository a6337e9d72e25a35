"""A grid file: which networks are trained how, and what each row of the table shows."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from pvd_core.borders.errors import UserError
from pvd_core.borders.settings import apply_overrides, filled, read_yaml
from pvd_core.losses.methods import METHODS
from pvd_core.taxonomy import SEMANTICKITTI, Taxonomy, taxonomy_named
from training.ablation.near_far import NearFarConfig
from training.ablation.placing import check_placing

TEACHER, PRETRAINED, RANDOM = "teacher", "pretrained", "random"
SHOWN = (TEACHER, PRETRAINED)
STARTS = (PRETRAINED, TEACHER, RANDOM)
SEED_STEP = 1000
"""Added to the seed of a run that starts from another run's weights, so that it sees the scans in another order."""


@dataclass(frozen=True)
class TeacherConfig:
    """The teacher of all rows."""

    weights: str | None = None
    """A weights file, used as it is, or the name of weights that ship, such as cylinder3d; null: train one first."""
    settings: dict = field(default_factory=dict)
    """Settings of its training, laid over those of the grid."""
    for_each_seed: bool = True
    """Whether each seed has a teacher of its own, so that the spread over seeds includes that of teachers. A weights
    file is the teacher of all seeds."""


@dataclass(frozen=True)
class RowConfig:
    """One row of the table."""

    name: str
    label: str | None = None
    """What the table calls the row; null: its name."""
    shows: str | None = None
    """teacher or pretrained: the row shows the score of that network and has no run of its own."""
    distillation: dict | None = None
    """method (pvd if left out) and settings, laid over those of the grid. null: learn from the labels only."""
    settings: dict = field(default_factory=dict)
    """Training settings, laid over those of the students."""
    starts_from: str | None = None
    """Initial weights: pretrained, teacher (a slice of its weights), random or the name of a row above; null: as the
    grid says."""
    teacher: str | None = None
    """Name of the row above that teaches; null: the teacher of the grid."""
    once: bool = False
    """Trained with the first seed alone, for all seeds."""
    compared_with: str | None = None
    """Name of the row that this one is compared with; null: the 'reference' of the grid."""
    paper: dict = field(default_factory=dict)
    """{column of the table: what the paper prints}."""


@dataclass(frozen=True)
class GridConfig:
    """What a grid file holds."""

    name: str
    title: str
    rows: tuple[RowConfig, ...]
    notes: tuple[str, ...] = ()
    """How the numbers were obtained; printed below the table, after those of 'base'."""
    base: str | None = None
    """A file with some of these keys, relative to this one, which this one is laid over."""
    settings: dict = field(default_factory=dict)
    """Training settings of every run."""
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    student: dict = field(default_factory=dict)
    """Training settings of students, laid over 'settings'."""
    pretraining: dict | None = field(default_factory=dict)
    """Training settings of the student without a teacher that rows start from, laid over 'student'; null: none."""
    backbone: str | None = None
    """Network of the paper's table 4 whose coefficients are the methods' defaults; null: that of the students."""
    methods: dict = field(default_factory=dict)
    """{method: settings of it in all rows}."""
    starts_from: str = PRETRAINED
    """Initial weights of rows that do not name theirs."""
    near_far: NearFarConfig | None = None
    """Train on near and validate on far objects of one class."""
    metric: str = "miou"
    """What is compared: miou (over all classes), miou_present, or the name of a class for its IoU."""
    groups: dict = field(default_factory=dict)
    """{column of the table: classes whose mean IoU it shows}, beside the metric."""
    reference: str | None = None
    """The row that the others are compared with, seed by seed."""
    is_table_of_methods: bool = False
    """Whether the results are also written as NAME_methods.json."""
    measures_cost: bool = False
    """Whether the table of methods says what each row's network costs: parameters, GMAC, milliseconds."""
    seeds: tuple[int, ...] = (0, 1, 2)

    def __post_init__(self) -> None:
        _check_folder_name(self.name, f"grid {self.name!r}")
        _check_rows(self)
        unknown = [name for name in self.methods if name not in METHODS]
        if unknown:
            raise UserError(f"methods names {', '.join(unknown)}: expected {', '.join(METHODS)}")
        names = self.taxonomy.names[1:]
        if self.near_far is not None and self.near_far.class_name not in names:
            raise UserError(f"near_far.class_name is {self.near_far.class_name!r}: expected one of {', '.join(names)}")
        if self.metric not in ("miou", "miou_present", *names):
            raise UserError(f"metric is {self.metric!r}: expected miou, miou_present or the name of a class")
        for group, members in self.groups.items():
            if not isinstance(members, list) or not members or set(members) - set(names):
                raise UserError(f"groups.{group} is {members}: expected a list of some of {', '.join(names)}")
        if self.reference is not None and self.reference not in self.row_names:
            raise UserError(f"reference is {self.reference!r}: expected a row, one of {', '.join(self.row_names)}")
        if (
            not self.seeds
            or len(set(self.seeds)) < len(self.seeds)
            or not all(0 <= seed < SEED_STEP for seed in self.seeds)
        ):
            raise UserError(f"seeds are {list(self.seeds)}: expected at least one, each once, of 0..{SEED_STEP - 1}")

    @property
    def taxonomy(self) -> Taxonomy:
        """The classes of all runs, which 'settings' name."""
        return taxonomy_named(self.settings.get("taxonomy", SEMANTICKITTI.name))

    @property
    def row_names(self) -> list[str]:
        """In the order of the table."""
        return [row.name for row in self.rows]


def read_grid(path: str | Path, overrides: Iterable[str] = ()) -> GridConfig:
    """GridConfig of a YAML file, of the file that it names as base, and of `key=value` overrides. UserError says what
    is wrong in them."""
    of_file, overrides = read_yaml(path), list(overrides)
    values = apply_overrides(of_file, (each for each in overrides if each.partition("=")[0].strip() == "base"))
    if values.get("base") is not None:
        base = read_yaml(Path(path).parent / str(values["base"]))
        notes = [layer.get("notes") or [] for layer in (base, values)]
        wrong = [each for each in notes if not isinstance(each, list)]  # refused below, by its name
        values = {**merged(base, values), "notes": wrong[0] if wrong else [*notes[0], *notes[1]]}
    # Last, so that they reach what the base holds, its rows too.
    values = apply_overrides(values, overrides)
    check_placing(values, *({each.name for each in fields(of)} for of in (GridConfig, TeacherConfig)))
    return filled(GridConfig, values)


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Nested dictionaries laid over one another, value by value; later ones win."""
    result: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            before = result.get(key)
            result[key] = merged(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return result


def _check_folder_name(name: str, where: str) -> None:
    if name != Path(name).name or name.startswith("."):
        raise UserError(f"{where}: its name becomes a folder, so it must be no path")


def _check_rows(grid: GridConfig) -> None:
    if not grid.rows:
        raise UserError("rows is empty: a grid needs at least one row")
    above: list[str] = []
    for row in grid.rows:
        where = f"row {row.name!r}"
        if row.name in above:
            raise UserError(f"{where} is there twice: rows need names of their own")
        _check_folder_name(row.name, where)
        if row.name in SHOWN and row.shows != row.name:
            raise UserError(f"{where}: this name is kept for the row with 'shows: {row.name}'")
        if row.shows is not None:
            _check_shown(grid, row, where)
        for key, name in (("teacher", row.teacher), ("compared_with", row.compared_with)):
            if name is not None and name not in above:
                raise UserError(f"{where}: {key} is {name!r}: expected a row above it")
        start = row.starts_from or grid.starts_from
        if start not in STARTS and start not in above:
            raise UserError(f"{where} starts from {start!r}: expected {', '.join(STARTS)} or a row above it")
        if start == PRETRAINED and row.shows is None and grid.pretraining is None:
            raise UserError(f"{where} starts from pretrained weights, but pretraining is null")
        above.append(row.name)


def _check_shown(grid: GridConfig, row: RowConfig, where: str) -> None:
    if row.shows not in SHOWN:
        raise UserError(f"{where} shows {row.shows!r}: expected {' or '.join(SHOWN)}")
    if row.distillation is not None or row.settings or row.starts_from is not None:
        raise UserError(f"{where} shows another run, so it can have no distillation, settings or starts_from")
    if row.shows == PRETRAINED and grid.pretraining is None:
        raise UserError(f"{where} shows pretrained weights, but pretraining is null")
