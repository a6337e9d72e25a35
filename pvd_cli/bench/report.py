"""What was timed as Markdown for people: where it was measured, tables, and what their columns mean.

Tables are readable as they stand: padded, and at most 120 columns wide.
"""

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pvd_cli.bench.plan import Row
from pvd_core.borders.wording import counted

_WIDEST_NAME = 60


@dataclass(frozen=True)
class _Column:
    header: str
    field: str
    factor: float = 1

    def cell(self, row: Row) -> str:
        value = row.get(self.field)
        if isinstance(value, str):
            return value
        if value is None:
            return "-"
        return _number(value * self.factor)


_ENGINE = (
    _Column("backend", "backend"),
    _Column("format", "precision"),
    _Column("thr", "threads"),
    _Column("beside", "beside"),
)

_LABELLING = (
    *_ENGINE,
    _Column("median", "median_ms"),
    _Column("p90", "p90_ms"),
    _Column("p99", "p99_ms"),
    _Column("network", "network_ms"),
    _Column("maps", "maps_ms"),
    _Column("floor", "floor_ms"),
    _Column("/floor", "ratio_to_floor"),
    _Column("spconv/", "ratio_to_spconv"),
    _Column("same %", "same_labels", 100),
    _Column("MB", "peak_mb"),
)
_LAYERS = (
    _Column("layer", "layer"),
    _Column("kernel", "kernel"),
    _Column("channels", "channels"),
    _Column("pairs", "pairs"),
    _Column("MMAC", "macs", 1e-6),
    _Column("ms", "ms"),
    _Column("GFLOP/s", "gflops"),
    _Column("/floor", "ratio_to_floor"),
)
_STAGES = (_Column("stage", "stage"), _Column("ms", "ms"), _Column("%", "share", 100))
_GROWTH = (
    _Column("clouds", "batch"),
    _Column("points", "points"),
    _Column("voxels", "voxels"),
    _Column("median ms", "median_ms"),
    _Column("p90 ms", "p90_ms"),
    _Column("us a point", "us_a_point"),
    _Column("peak MB", "peak_mb"),
)
_TRAINING = (
    *_ENGINE,
    _Column("inference ms", "inference_ms"),
    _Column("step ms", "step_ms"),
    _Column("step/inference", "ratio"),
    _Column("peak MB", "peak_mb"),
)

# Fields that are the same in all rows of a table, and stand in its title.
_TASK = ("model", "scan")
_TASK_AND_ENGINE = (*_TASK, "backend", "precision", "threads", "beside")

# Tables of a result: title, columns, fields that are the same in all rows of a table.
_SECTIONS = {
    "rows": ("From points to labels", _LABELLING, _TASK),
    "stages": ("By stage", _STAGES, _TASK_AND_ENGINE),
    "layers": ("By layer", _LAYERS, _TASK_AND_ENGINE),
    "growth": ("Growing clouds", _GROWTH, _TASK_AND_ENGINE),
    "batches": ("Growing batches", _GROWTH, _TASK_AND_ENGINE),
    "training": ("Training step", _TRAINING, _TASK),
}


def as_markdown(result: Mapping[str, Any]) -> str:
    """Markdown of a result, which has `hardware`, `versions`, `runs`, tables by name, `skipped`, and where known
    `command`, `commit` and `incomplete`, the names of tables that an interrupt cut short or left out."""
    parts = [_where(result), _incomplete(result)]
    for name, (title, columns, common) in _SECTIONS.items():
        if result.get(name):
            parts += [f"## {title}", _tables(result[name], columns, common), _legend(name, result[name])]
    parts += [f"Wrong results: {name}" for name in _faults(result.get("rows", []))]
    parts += dict.fromkeys(f"Not timed: {_skipped(entry)}" for entry in result["skipped"])
    return "\n\n".join(part for part in parts if part) + "\n"


def _where(result: Mapping[str, Any]) -> str:
    machine, versions = result["hardware"], result["versions"]
    words = [f"{machine['gpu']} (driver {machine['driver']})"] if machine["gpu"] else []
    words.append(f"{machine['cpu']}, {counted(machine['cores'], 'core')}")
    words += [f"{name} {version}" for name, version in versions.items() if version is not None]
    if result.get("commit"):
        words.append(f"commit {result['commit'][:12]}")
    lines = [", ".join(words)]
    if result.get("command"):
        lines.append(f"`{result['command']}`, {result['runs']} samples a row")
    return "\n\n".join(lines)


def _incomplete(result: Mapping[str, Any]) -> str:
    titles = [_SECTIONS[name][0] for name in result.get("incomplete", ())]
    return (
        f"**Incomplete**: stopped before all was timed. Cut short or not begun: {', '.join(titles)}" if titles else ""
    )


def _legend(name: str, rows: Sequence[Row]) -> str:
    if name == "rows":
        totals, busy = ("median, p90", " beside: busy processes.") if _has_busy(rows) else ("median, p90, p99", "")
        return (
            f"Times in ms. {totals}: from points to labels. network: the sparse U-Net in it, with its kernel "
            "maps; maps: those alone; floor: the U-Net's bare matrix products; /floor: network over floor. spconv/: "
            f"{_spconv_legend(rows)}. same %: share of the labels that are those of the first row. MB: peak memory."
            f"{busy}"
        )
    if name == "layers":
        return "pairs: multiplied rows. GFLOP/s: two a multiply-accumulate. /floor: time over that of bare products."
    if name == "training":
        return "step: forward, losses and backward, no optimiser. inference: the network as labelling runs it."
    return ""


def _has_busy(rows: Sequence[Row]) -> bool:
    return any(row.get("beside") for row in rows)


def _spconv_legend(rows: Sequence[Row]) -> str:
    pairs = {(row["precision"], row["ratio_to_spconv_of"]) for row in rows if row["ratio_to_spconv_of"]}
    if not pairs:
        return "spconv was not timed"
    compared_with = {of for _, of in pairs}
    which = compared_with.pop() if len(compared_with) == 1 else "; ".join(f"{own} by {of}" for own, of in sorted(pairs))
    return f"network time of spconv ({which}) over that of the row"


def _skipped(entry: Row) -> str:
    names = ", ".join(str(entry[name]) for name in ("model", "backend", "precision"))
    return f"{names}: {entry['reason']}"


def _faults(rows: Sequence[Row]) -> Iterable[str]:
    """Faults that backends know in their own results, each once."""
    return dict.fromkeys(f"{row['backend']}: {row['known_fault']}" for row in rows if row.get("known_fault"))


def _tables(rows: Sequence[Row], columns: Sequence[_Column], common: Sequence[str]) -> str:
    """A table for each group of successive rows whose fields `common` are the same."""
    tables = []
    for values, grouped in itertools.groupby(rows, key=lambda row: [row.get(name) for name in common]):
        group = list(grouped)
        tables.append(f"{_title(dict(zip(common, values, strict=True)), group)}\n\n{_table(group, columns)}")
    return "\n\n".join(tables)


def _title(common: Mapping[str, Any], rows: Sequence[Row]) -> str:
    words = [f"**{common['model']}**", _shortened(common["scan"])]
    if "backend" in common:
        threads = common["threads"]
        words += [common["backend"], common["precision"], counted(threads, "thread")]
        if common["beside"]:
            words.append(f"{common['beside']} busy beside")
    sizes: dict[str, set[Any]] = {name: {row.get(name) for row in rows} for name in ("points", "voxels", "macs")}
    words += [f"{_number(sizes[name].pop())} {name}" for name in ("points", "voxels") if _is_one_number(sizes[name])]
    if _is_one_number(sizes["macs"]):
        words.append(f"{_number(sizes['macs'].pop() / 1e9)} GMAC")
    return ", ".join(words)


def _is_one_number(values: Collection[Any]) -> bool:
    return len(values) == 1 and None not in values


def _table(rows: Sequence[Row], columns: Sequence[_Column]) -> str:
    left_out = "p99_ms" if _has_busy(rows) else "beside"  # there is no room for both
    columns = [column for column in columns if column.field != left_out]
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


def _number(value: float) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _shortened(path: str) -> str:
    """The last parts of a path, as many as fit."""
    start = len(path) - _WIDEST_NAME
    return path if start <= 0 else "..." + path[max(path.find("/", start), start) :]
