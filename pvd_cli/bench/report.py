"""What was timed with the circumstances that belong to every figure, as JSON, and as Markdown for people: where it was
measured, tables, and what their columns mean.

Tables are readable as they stand: padded, and at most 120 columns wide.
"""

import functools
import itertools
import json
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pvd_cli.bench.plan import Plan, Row
from pvd_core.borders.errors import UserError
from pvd_core.borders.files import check_output, written_atomically
from pvd_core.borders.wording import counted
from pvd_core.runtime.hardware import hardware, versions
from training.run.run_folder import source_commit

_WIDEST_NAME = 60

# It goes through all packages that are installed, and a command writes its result after each table.
_versions = functools.cache(versions)


def _columns(text: str) -> dict[str, str]:
    """{field: header} of `field=header` and of fields that are their own header; _ in a header stands for a space."""
    words = [word.partition("=") for word in text.split()]
    return {field: (header or field).replace("_", " ") for field, _, header in words}


_ENGINE = "backend precision=format threads=thr beside"
_GROWTH = _columns("batch=clouds points voxels median_ms=median_ms p90_ms=p90_ms us_a_point=us_a_point peak_mb=peak_MB")
_FACTORS = {"MMAC": 1e-6, "%": 100, "same %": 100}  # of columns in another unit than their field

# Fields that are the same in all rows of a table, and stand in its title.
_TASK = ("model", "scan")
_TASK_AND_ENGINE = (*_TASK, "backend", "precision", "threads", "beside")

# Tables of a result: title, columns, fields that are the same in all rows of a table, what its columns mean.
_SECTIONS: dict[str, tuple[str, dict[str, str], tuple[str, ...], str]] = {
    "rows": (
        "From points to labels",
        _columns(
            f"{_ENGINE} median_ms=median p90_ms=p90 p99_ms=p99 network_ms=network maps_ms=maps floor_ms=floor "
            "ratio_to_floor=/floor ratio_to_spconv=spconv/ same_labels=same_% peak_mb=MB"
        ),
        _TASK,
        "Times in ms. {totals}: from points to labels. network: the sparse U-Net in it, with its kernel maps; maps: "
        "those alone; floor: the U-Net's bare matrix products; /floor: network over floor. spconv/: {spconv}. same %: "
        "share of the labels that are those of the first row. MB: peak memory.{busy}",
    ),
    "stages": ("By stage", _columns("stage ms share=%"), _TASK_AND_ENGINE, ""),
    "layers": (
        "By layer",
        _columns("layer kernel channels pairs macs=MMAC ms gflops=GFLOP/s ratio_to_floor=/floor"),
        _TASK_AND_ENGINE,
        "pairs: multiplied rows. GFLOP/s: two a multiply-accumulate. /floor: time over that of bare products.",
    ),
    "growth": ("Growing clouds", _GROWTH, _TASK_AND_ENGINE, ""),
    "batches": ("Growing batches", _GROWTH, _TASK_AND_ENGINE, ""),
    "training": (
        "Training step",
        _columns(f"{_ENGINE} inference_ms=inference_ms step_ms=step_ms ratio=step/inference peak_mb=peak_MB"),
        _TASK,
        "step: forward, losses and backward, no optimiser. inference: the network as labelling runs it.",
    ),
    "macs": (
        "Multiply-accumulates of a cloud",
        _columns("model parameters scans voxels gmacs=GMAC gmacs_std=+- published_gmacs=published"),
        (),
        "published: the mean over SemanticKITTI that the authors print; clouds differ in what they take.",
    ),
}


def check_new_output(path: Path, force: bool) -> None:
    """To be called before anything is timed. UserError for a file that cannot be written, or that exists, unless
    `force` is set."""
    check_output(path)
    if path.exists() and not force:
        raise UserError(f"{path} exists already; name another file, or add --force")


def with_circumstances(result: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """`result`, tables by name, with the command line, commit, machine, versions and the settings of the plan."""
    settings = {name: getattr(plan, name) for name in ("backends", "precisions", "threads", "beside")}
    return {
        "command": shlex.join(["pvd", *sys.argv[1:]]),
        "commit": source_commit(),
        "hardware": hardware(plan.device),
        "versions": _versions(),
        "runs": plan.runs,
        "settings": {
            **{"device": str(plan.device), **settings},
            **{"models": tuple(plan.networks), "scans": tuple(plan.scans)},
        },
        **result,
    }


def write_result(result: Mapping[str, Any], json_file: Path | None, markdown: Path | None) -> list[Path]:
    """Writes the files whose paths are given; returns these paths."""
    contents = {json_file: json.dumps(result, indent=2) + "\n", markdown: as_markdown(result)}
    paths = [path for path in contents if path is not None]
    for path in paths:
        with written_atomically(path) as temporary:
            temporary.write_text(contents[path])
    return paths


def as_markdown(result: Mapping[str, Any]) -> str:
    """Markdown of a result, which has `hardware`, `versions`, `runs`, tables by name, `skipped`, and where known
    `command`, `commit` and `incomplete`, the names of tables that an interrupt cut short or left out."""
    parts = [_where(result)]
    if cut_short := [_SECTIONS[name][0] for name in result.get("incomplete", ())]:
        parts.append(f"**Incomplete**: stopped before all was timed. Cut short or not begun: {', '.join(cut_short)}")
    for name, (title, columns, common, legend) in _SECTIONS.items():
        if rows := result.get(name):
            parts += [f"## {title}", *_tables(rows, columns, common), _filled(legend, rows)]
    faulty = [row for row in result.get("rows", []) if row.get("known_fault")]
    parts += dict.fromkeys(f"Wrong results: {row['backend']}: {row['known_fault']}" for row in faulty)
    parts += dict.fromkeys(f"Not timed: {_skipped(entry)}" for entry in result["skipped"])
    return "\n\n".join(part for part in parts if part) + "\n"


def _skipped(entry: Row) -> str:
    return f"{entry['model']}, {entry['backend']}, {entry['precision']}: {entry['reason']}"


def _where(result: Mapping[str, Any]) -> str:
    machine = result["hardware"]
    words = [f"{machine['gpu']} (driver {machine['driver']})"] if machine["gpu"] else []
    words.append(f"{machine['cpu']}, {counted(machine['cores'], 'core')}")
    words += [f"{name} {version}" for name, version in result["versions"].items() if version is not None]
    if result.get("commit"):
        words.append(f"commit {result['commit'][:12]}")
    lines = [", ".join(words)]
    if result.get("command"):
        is_timed = any(result.get(name) for name in _SECTIONS if name != "macs")
        lines.append(f"`{result['command']}`" + (f", {result['runs']} samples a row" if is_timed else ""))
    return "\n\n".join(lines)


def _filled(legend: str, rows: Sequence[Row]) -> str:
    """The legend, with what depends on the rows."""
    if "{" not in legend:
        return legend
    totals, busy = ("median, p90", " beside: busy processes.") if _has_busy(rows) else ("median, p90, p99", "")
    pairs = sorted({(row["precision"], row["ratio_to_spconv_of"]) for row in rows if row["ratio_to_spconv_of"]})
    compared_with = {of for _, of in pairs}
    which = compared_with.pop() if len(compared_with) == 1 else "; ".join(f"{own} by {of}" for own, of in pairs)
    spconv = f"network time of spconv ({which}) over that of the row" if pairs else "spconv was not timed"
    return legend.format(totals=totals, busy=busy, spconv=spconv)


def _has_busy(rows: Sequence[Row]) -> bool:
    return any(row.get("beside") for row in rows)


def _tables(rows: Sequence[Row], columns: Mapping[str, str], common: Sequence[str]) -> Iterable[str]:
    """A table, with its title, for each group of successive rows whose fields `common` are the same."""
    for values, grouped in itertools.groupby(rows, key=lambda row: [row.get(name) for name in common]):
        group = list(grouped)
        if common:
            yield _title(dict(zip(common, values, strict=True)), group)
        yield _table(group, columns)


def _title(common: Mapping[str, Any], rows: Sequence[Row]) -> str:
    words = [f"**{common['model']}**", _shortened(common["scan"])]
    if "backend" in common:
        words += [common["backend"], common["precision"], counted(common["threads"], "thread")]
        if common["beside"]:
            words.append(f"{common['beside']} busy beside")
    for name, unit, factor in (("points", "points", 1), ("voxels", "voxels", 1), ("macs", "GMAC", 1e-9)):
        sizes = {row.get(name) for row in rows}
        if len(sizes) == 1 and (size := sizes.pop()) is not None:
            words.append(f"{_number(size * factor)} {unit}")
    return ", ".join(words)


def _table(rows: Sequence[Row], columns: Mapping[str, str]) -> str:
    left_out = "p99_ms" if _has_busy(rows) else "beside"  # there is no room for both
    lines, rule = [""] * (len(rows) + 1), ""
    for field, header in columns.items():
        if field == left_out:
            continue
        cells = [header, *(_cell(row.get(field), _FACTORS.get(header, 1)) for row in rows)]
        width = max(map(len, cells))
        is_text = all(isinstance(row.get(field, ""), str) for row in rows)
        lines = [f"{line}| {cell:{'<' if is_text else '>'}{width}} " for line, cell in zip(lines, cells, strict=True)]
        rule += f"|{'-' * (width + 1)}{'-' if is_text else ':'}"
    return "\n".join(f"{line}|" for line in (lines[0], rule, *lines[1:]))


def _cell(value: str | float | None, factor: float) -> str:
    if value is None or isinstance(value, str):
        return value or "-"
    return _number(value * factor)


def _number(value: float) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _shortened(path: str) -> str:
    """The last parts of a path, as many as fit."""
    start = len(path) - _WIDEST_NAME
    return path if start <= 0 else "..." + path[max(path.find("/", start), start) :]
