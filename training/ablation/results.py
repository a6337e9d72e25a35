"""The results of a grid so far, as one JSON-able dictionary: mean and standard deviation over the seeds of each row."""

import json
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pvd_core.borders.files import write_atomically
from pvd_core.borders.locks import locked
from pvd_core.models import PRESETS
from training.ablation.chart import draw_chart
from training.ablation.cost import cost_of
from training.ablation.finished import read_result
from training.ablation.grid import GridConfig, RowConfig
from training.ablation.plan import Plan
from training.ablation.report import markdown


def write_results(grid: GridConfig, plan: Plan, dataset: str | Path, out: str | Path) -> dict[str, Any]:
    """Writes results.json, results.md, results.png (if matplotlib is installed) and NAME_methods.json (if the grid is a
    table of methods) into the folder `out`. Returns the content of results.json."""
    out = Path(out)
    # Under the lock, so that of two processes the one that writes last has read the runs of both.
    with locked(out / ".results.lock", waits=True):
        results = collect(grid, plan, dataset)
        if grid.measures_cost:
            costs = _costs(plan, dataset)
            for row in results["rows"]:
                row["cost"] = costs.get(row["name"])
        _write_json(out / "results.json", results)
        write_atomically(out / "results.md", markdown(results).encode())
        if grid.is_table_of_methods:
            _write_json(out / f"{grid.name}_methods.json", _table_of_methods(results))
        draw_chart(results, out / "results.png")
    return results


def collect(grid: GridConfig, plan: Plan, dataset: str | Path) -> dict[str, Any]:
    """The results of all runs that have finished. Scores are 0..1; "..._std" are standard deviations of a sample
    (n - 1), None for a single seed."""
    # A row that is trained once shows the same run for every seed.
    distinct = {name: {run.folder: run for run in shown}.values() for name, shown in plan.by_row.items()}
    runs = {name: [result for run in shown if (result := read_result(run))] for name, shown in distinct.items()}
    rows = [_row(grid, row, runs[row.name]) for row in grid.rows]
    by_name = {row["name"]: row for row in rows}
    for row, settings in zip(rows, grid.rows, strict=True):
        row["num_runs"] = len(distinct[settings.name])
        name = settings.compared_with or grid.reference
        row["compared_with"] = None if name == settings.name else name
        is_compared = name is not None and name != settings.name
        row["difference"] = _difference(row, by_name[name]) if is_compared else None
        for group, scores in row["groups"].items():
            scores["difference"] = _difference(scores, by_name[name]["groups"][group]) if is_compared else None
    results = [result for row in runs.values() for result in row]
    return {
        "grid": grid.name,
        "title": grid.title,
        "notes": list(grid.notes),
        "dataset": Path(dataset).resolve().name,
        "metric": grid.metric,
        "reference": grid.reference,
        "seeds": list(grid.seeds),
        "hardware": _distinct(result["hardware"] for result in results),
        "versions": _distinct(result["versions"] for result in results),
        "commits": _distinct(result["commit"] for result in results),
        "rows": rows,
    }


def _score(result: dict[str, Any], metric: str) -> float:
    """The score of a run by the grid's metric."""
    return result["iou"][metric] if metric in result["iou"] else result[metric]


def _row(grid: GridConfig, row: RowConfig, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    scores = [_score(result, grid.metric) for result in results]
    iou = {name: [result["iou"][name] for result in results] for name in (results[0]["iou"] if results else ())}
    return {
        "name": row.name,
        "label": row.label or row.name,
        "paper": row.paper,
        "seeds": [result["seed"] for result in results],
        "scores": scores,
        **_spread("score", scores),
        **_spread("miou", [result["miou"] for result in results]),
        **_spread("miou_present", [result["miou_present"] for result in results]),
        "iou": {name: statistics.fmean(values) for name, values in iou.items()},
        "iou_std": {name: _deviation(values) for name, values in iou.items()},
        "groups": {group: _group(members, results) for group, members in grid.groups.items()},
        "steps": results[0]["steps"] if results else None,
        "minutes_mean": statistics.fmean(result["minutes"] for result in results) if results else None,
        **(_network(results[0]) if results else {}),
    }


def _group(members: Sequence[str], results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The mean IoU of some classes in each run, and its spread."""
    scores = [statistics.fmean(result["iou"][name] for name in members) for result in results]
    return {"seeds": [result["seed"] for result in results], "scores": scores, **_spread("score", scores)}


def _network(result: dict[str, Any]) -> dict[str, Any]:
    """What a row's network is: its family, its width, and by which method it was trained."""
    model, distillation = result["config"]["model"], result["config"]["distillation"]
    preset = {**PRESETS.get(model.get("name"), {}), **model}
    return {
        "family": preset.get("architecture", "cylinder3d"),
        "width": preset.get("width", preset.get("channel_ratio")),
        "method": "none" if distillation is None else distillation["method"],
    }


def _difference(row: dict[str, Any], reference: dict[str, Any]) -> dict[str, Any] | None:
    """Mean and deviation of the differences of scores, seed by seed; None where the rows have no seed in common."""
    of_reference = dict(zip(reference["seeds"], reference["scores"], strict=True))
    pairs = zip(row["seeds"], row["scores"], strict=True)
    differences = [score - of_reference[seed] for seed, score in pairs if seed in of_reference]
    return {**_spread("", differences), "num_seeds": len(differences)} if differences else None


def _spread(name: str, values: Sequence[float]) -> dict[str, float | None]:
    prefix = f"{name}_" if name else ""
    return {f"{prefix}mean": statistics.fmean(values) if values else None, f"{prefix}std": _deviation(values)}


def _deviation(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None


def _distinct(items: Iterable[Any]) -> list[Any]:
    return [json.loads(text) for text in dict.fromkeys(json.dumps(item) for item in items)]


def _costs(plan: Plan, dataset: str | Path) -> dict[str, dict[str, Any]]:
    """{row: what its network costs}, of the rows with a finished run."""
    firsts = {name: next(filter(read_result, runs), None) for name, runs in plan.by_row.items()}
    return {name: cost_of(run, dataset) for name, run in firsts.items() if run is not None}


def _table_of_methods(results: dict[str, Any]) -> dict[str, Any]:
    done = [row for row in results["rows"] if row["seeds"]]
    return {
        **{key: results[key] for key in ("dataset", "hardware", "seeds")},
        "rows": [
            {
                **_named(row),
                "seeds": row["seeds"],
                **{key: row[key] for key in ("miou_mean", "miou_std", "iou", "iou_std")},
                **({"groups": row["groups"]} if row["groups"] else {}),
            }
            for row in done
        ],
    }


def _named(row: dict[str, Any]) -> dict[str, Any]:
    """What a row of the table of methods is: its method or, where costs were measured, its network and method."""
    if row.get("cost") is None:
        return {"method": row["name"]}
    return {"row": row["name"], **{key: row[key] for key in ("family", "width", "method")}, **row["cost"]}


def _write_json(path: Path, content: dict[str, Any]) -> None:
    write_atomically(path, (json.dumps(content, indent=2) + "\n").encode())
