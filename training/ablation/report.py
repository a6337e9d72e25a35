"""The results of a grid as Markdown: our scores beside the paper's, IoU of the classes, hardware and versions."""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any


def markdown(results: dict[str, Any]) -> str:
    """What `results.collect` returns, as text."""
    parts = [f"# {results['title']}", _intro(results), _main_table(results)]
    parts += ["\n".join(f"- {note}" for note in results["notes"])] if results["notes"] else []
    parts += ["## IoU of the classes", _class_table(results), "## Measured on", _origin(results)]
    return "\n\n".join(parts) + "\n"


def metric_name(metric: str) -> str:
    """The metric of a grid, in words."""
    names = {"miou": "mIoU over all classes", "miou_present": "mIoU over the classes present"}
    return names.get(metric, f"IoU of {metric}")


def _intro(results: dict[str, Any]) -> str:
    text = _what(results)
    if _paper_columns(results):
        text += (
            " The paper's numbers are of its own networks on SemanticKITTI's sequence 08: compare the order and the "
            "differences of rows, not their height, unless ours are of the same."
        )
    return text


def _what(results: dict[str, Any]) -> str:
    seeds = ", ".join(map(str, results["seeds"]))
    return (
        f"{metric_name(results['metric'])}, %, on the validation scans of `{results['dataset']}`: mean +- standard "
        f"deviation over the seeds {seeds}. Weights are those of the last step; none was chosen by its score."
    )


def _main_table(results: dict[str, Any]) -> str:
    columns, costs = _paper_columns(results), [row["cost"] for row in results["rows"] if row.get("cost")]
    references = list(dict.fromkeys(filter(None, (row["compared_with"] for row in results["rows"]))))
    over = "over " + ("its reference" if len(references) > 1 else references[0]) if references else ""
    groups = list(results["rows"][0]["groups"])
    columns_of_group = [(group, *([over] if over else [])) for group in groups]
    head = ["row", "ours", *([over] if over else []), *itertools.chain(*columns_of_group)]
    head += ["runs", "steps", "minutes a run"]
    head += ["parameters", "GMAC", "ms", "MB"] if costs else []
    lines = [
        [
            row["label"],
            _percent(row["score_mean"], row["score_std"]),
            *([_signed(row["difference"])] if over else []),
            *itertools.chain(*(_group(row["groups"][group], bool(over)) for group in groups)),
            f"{len(row['seeds'])}/{row['num_runs']}",
            _number(row["steps"], "{:,}"),
            _number(row["minutes_mean"], "{:.1f}"),
            *(_costs(row.get("cost")) if costs else ()),
            *(str(row["paper"].get(column, "")) for column in columns),
        ]
        for row in results["rows"]
    ]
    return _table([*head, *(f"paper: {column}" for column in columns)], lines)


def _group(scores: dict[str, Any], has_difference: bool) -> list[str]:
    score = _percent(scores["score_mean"], scores["score_std"])
    return [score, _signed(scores["difference"])] if has_difference else [score]


def _costs(cost: dict[str, Any] | None) -> list[str]:
    if cost is None:
        return ["-"] * 4
    figures = f"{cost['gmacs']:.2f}", f"{cost['latency_ms']:.0f}", _number(cost.get("peak_mb"), "{:.0f}")
    return [f"{cost['num_parameters']:,}", *figures]


def _paper_columns(results: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(column for row in results["rows"] for column in row["paper"]))


def _class_table(results: dict[str, Any]) -> str:
    rows = [row for row in results["rows"] if row["seeds"]]
    names = rows[0]["iou"] if rows else ()
    lines = [
        [name, *(_percent(row["iou"][name], row["iou_std"][name]) for row in rows)]
        for name in names
        if any(row["iou"][name] for row in rows)
    ]
    missing = [name for name in names if name not in [line[0] for line in lines]]
    note = f"\n\n0 in every row: {', '.join(missing)}." if missing and rows else ""
    return _table(["class", *(row["label"] for row in rows)], lines) + note


def _origin(results: dict[str, Any]) -> str:
    lines = []
    for machine in results["hardware"]:
        device = machine["gpu"] or f"{machine['cpu']}, {machine['cores']} cores, {machine['threads']} threads"
        lines.append(f"- {device}; {machine['system']}")
    timed_on = [row["cost"]["latency_on"] for row in results["rows"] if row.get("cost")]
    threads = sorted({machine["threads"] for machine in timed_on if not machine["gpu"]})
    lines += [f"- ms and MB: from points to labels, with {', '.join(map(str, threads))} threads"] if threads else []
    lines += [f"- torch {each['torch']}, Python {each['python']}" for each in results["versions"]]
    lines += [f"- commit {', '.join(results['commits'])}"] if results["commits"] else ["- no run has finished yet"]
    return "\n".join(lines)


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rule = ["---", *(["---:"] * (len(head) - 1))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, rule, *lines])


def _percent(mean: float | None, deviation: float | None) -> str:
    if mean is None:
        return "-"
    return f"{100 * mean:.1f}" if not deviation else f"{100 * mean:.1f} +- {100 * deviation:.1f}"


def _signed(difference: dict[str, Any] | None) -> str:
    if difference is None:
        return "-"
    sign = "+" if difference["mean"] >= 0 else ""
    return sign + _percent(difference["mean"], difference["std"])


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)
