"""Rows as Markdown tables that are readable as they stand: padded, and at most 120 columns wide."""

import itertools
from dataclasses import dataclass

from pvd_core.borders.wording import counted

_WIDEST_NAME = 60


@dataclass(frozen=True)
class Column:
    header: str
    field: str
    factor: float = 1

    def cell(self, row):
        value = row.get(self.field)
        if isinstance(value, str):
            return value
        if value is None:
            return "-"
        return _number(value * self.factor)


_ENGINE = (Column("backend", "backend"), Column("format", "precision"), Column("thr", "threads"))

LABELLING = (
    *_ENGINE,
    Column("median", "median_ms"),
    Column("p90", "p90_ms"),
    Column("p99", "p99_ms"),
    Column("network", "network_ms"),
    Column("maps", "maps_ms"),
    Column("floor", "floor_ms"),
    Column("/floor", "ratio_to_floor"),
    Column("spconv/", "ratio_to_spconv"),
    Column("same %", "same_labels", 100),
    Column("MB", "peak_mb"),
)
LAYERS = (
    Column("layer", "layer"),
    Column("kernel", "kernel"),
    Column("channels", "channels"),
    Column("pairs", "pairs"),
    Column("MMAC", "macs", 1e-6),
    Column("ms", "ms"),
    Column("GFLOP/s", "gflops"),
    Column("/floor", "ratio_to_floor"),
)
STAGES = (Column("stage", "stage"), Column("ms", "ms"), Column("%", "share", 100))
GROWTH = (
    Column("clouds", "batch"),
    Column("points", "points"),
    Column("voxels", "voxels"),
    Column("median ms", "median_ms"),
    Column("p90 ms", "p90_ms"),
    Column("us a point", "us_a_point"),
    Column("peak MB", "peak_mb"),
)
TRAINING = (
    *_ENGINE,
    Column("inference ms", "inference_ms"),
    Column("step ms", "step_ms"),
    Column("step/inference", "ratio"),
    Column("peak MB", "peak_mb"),
)

# What rows of one table have in common, and its title says.
_TASK = ("model", "scan")
_TASK_AND_ENGINE = (*_TASK, "backend", "precision", "threads")


def as_table(rows):
    """The rows of the main table: a Markdown table for each network and scan, under a title. Rows of another kind make
    one table with a column for each field of the first one."""
    if not rows[0].keys() >= set(_TASK):
        return _table(rows, [Column(name, name) for name in rows[0]])
    return titled_tables(rows, LABELLING, _TASK)


def training_table(rows):
    return titled_tables(rows, TRAINING, _TASK)


def layer_table(rows):
    return titled_tables(rows, LAYERS, _TASK_AND_ENGINE)


def stage_table(rows):
    return titled_tables(rows, STAGES, _TASK_AND_ENGINE)


def growth_table(rows):
    return titled_tables(rows, GROWTH, _TASK_AND_ENGINE)


def titled_tables(rows, columns, common):
    """A table for each run of rows whose fields `common` are the same."""
    tables = []
    for values, group in itertools.groupby(rows, key=lambda row: [row[name] for name in common]):
        group = list(group)
        tables.append(f"{_title(dict(zip(common, values, strict=True)), group)}\n\n{_table(group, columns)}")
    return "\n\n".join(tables)


def _title(common, rows):
    words = [f"**{common['model']}**", _shortened(common["scan"])]
    if "backend" in common:
        threads = common["threads"]
        words += [common["backend"], common["precision"], counted(threads, "thread")]
    sizes = {name: {row.get(name) for row in rows} for name in ("points", "voxels", "macs")}
    words += [f"{_number(sizes[name].pop())} {name}" for name in ("points", "voxels") if _is_one_number(sizes[name])]
    if _is_one_number(sizes["macs"]):
        words.append(f"{_number(sizes['macs'].pop() / 1e9)} GMAC")
    return ", ".join(words)


def _is_one_number(values):
    return len(values) == 1 and None not in values


def _table(rows, columns):
    cells = [[column.header for column in columns], *([column.cell(row) for column in columns] for row in rows)]
    is_text = [all(isinstance(row.get(column.field, ""), str) for row in rows) for column in columns]
    widths = [max(len(line[number]) for line in cells) for number in range(len(columns))]
    lines = [
        " | ".join(
            text.ljust(width) if left else text.rjust(width)
            for text, width, left in zip(line, widths, is_text, strict=True)
        )
        for line in cells
    ]
    rule = "|".join(
        "-" * (width + 2) if left else "-" * (width + 1) + ":" for width, left in zip(widths, is_text, strict=True)
    )
    return "\n".join([f"| {lines[0]} |", f"|{rule}|", *(f"| {line} |" for line in lines[1:])])


def _number(value):
    if isinstance(value, int):
        return f"{value:,}"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _shortened(path):
    """As many of the last parts of a path as fit."""
    start = len(path) - _WIDEST_NAME
    return path if start <= 0 else "..." + path[max(path.find("/", start), start) :]
