"""What was timed with the circumstances that belong to every figure, as JSON, and as Markdown for people: where it was
measured, tables, and what their columns mean.

Tables are readable as they stand: padded, and at most 120 columns wide.
"""

import functools
import itertools
import json
import shlex
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
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

# Columns: {field: header}.
_ENGINE = {"backend": "backend", "precision": "format", "threads": "thr", "beside": "beside"}
_LABELLING = _ENGINE | {
    "median_ms": "median",
    "p90_ms": "p90",
    "p99_ms": "p99",
    "network_ms": "network",
    "maps_ms": "maps",
    "floor_ms": "floor",
    "ratio_to_floor": "/floor",
    "ratio_to_spconv": "spconv/",
    "same_labels": "same %",
    "peak_mb": "MB",
}
_LAYERS = {
    **{name: name for name in ("layer", "kernel", "channels", "pairs")},
    **{"macs": "MMAC", "ms": "ms", "gflops": "GFLOP/s", "ratio_to_floor": "/floor"},
}
_STAGES = {"stage": "stage", "ms": "ms", "share": "%"}
_GROWTH = {
    **{"batch": "clouds", "points": "points", "voxels": "voxels"},
    **{"median_ms": "median ms", "p90_ms": "p90 ms", "us_a_point": "us a point", "peak_mb": "peak MB"},
}
_TRAINING = _ENGINE | {
    "inference_ms": "inference ms",
    "step_ms": "step ms",
    "ratio": "step/inference",
    "peak_mb": "peak MB",
}
_MACS = {
    **{"model": "model", "parameters": "parameters", "scans": "scans", "voxels": "voxels"},
    **{"gmacs": "GMAC", "gmacs_std": "+-", "published_gmacs": "published"},
}
_FACTORS = {"MMAC": 1e-6, "%": 100, "same %": 100}  # of columns in another unit than their field

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
    "macs": ("Multiply-accumulates of a cloud", _MACS, ()),
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


def check_new_output(path: Path, force: bool) -> None:
    """To be called before anything is timed. UserError for a file that cannot be written, or that exists, unless
    `force` is set."""
    check_output(path)
    if path.exists() and not force:
        raise UserError(f"{path} exists already; name another file, or add --force")


def with_circumstances(result: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """`result`, tables by name, with the command line, commit, machine, versions and the settings of the plan."""
    return {
        "command": shlex.join(["pvd", *sys.argv[1:]]),
        "commit": source_commit(),
        "hardware": hardware(plan.device),
        "versions": _versions(),
        "runs": plan.runs,
        "settings": {
            "device": str(plan.device),
            "backends": plan.backends,
            "precisions": plan.precisions,
            "threads": plan.threads,
            "beside": plan.beside,
            "models": tuple(plan.networks),
            "scans": tuple(plan.scans),
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


def _where(result: Mapping[str, Any]) -> str:
    machine, versions = result["hardware"], result["versions"]
    words = [f"{machine['gpu']} (driver {machine['driver']})"] if machine["gpu"] else []
    words.append(f"{machine['cpu']}, {counted(machine['cores'], 'core')}")
    words += [f"{name} {version}" for name, version in versions.items() if version is not None]
    if result.get("commit"):
        words.append(f"commit {result['commit'][:12]}")
    lines = [", ".join(words)]
    if result.get("command"):
        is_timed = any(result.get(name) for name in _SECTIONS if name != "macs")
        lines.append(f"`{result['command']}`" + (f", {result['runs']} samples a row" if is_timed else ""))
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
    if name == "macs":
        return "published: the mean over SemanticKITTI that the authors print; clouds differ in what they take."
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


def _tables(rows: Sequence[Row], columns: Mapping[str, str], common: Sequence[str]) -> str:
    """A table for each group of successive rows whose fields `common` are the same."""
    tables = []
    for values, grouped in itertools.groupby(rows, key=lambda row: [row.get(name) for name in common]):
        group = list(grouped)
        title = _title(dict(zip(common, values, strict=True)), group) if common else ""
        tables.append(f"{title}\n\n{_table(group, columns)}".lstrip())
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
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _shortened(path: str) -> str:
    """The last parts of a path, as many as fit."""
    start = len(path) - _WIDEST_NAME
    return path if start <= 0 else "..." + path[max(path.find("/", start), start) :]
