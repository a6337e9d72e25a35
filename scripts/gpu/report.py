"""What the steps of a part measured, as one JSON file and one of tables, written anew after each step."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from pvd_core.borders.errors import UserError
from pvd_core.borders.files import write_atomically
from pvd_core.runtime.hardware import hardware, versions

# What these two leave behind shows in the steps that train, and in a log.
_NO_ROWS = ("streets", "tests")


class Rows:
    """The rows of a step, written after each change, so that they are kept whatever ends it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.rows: list[dict[str, Any]] = []

    def add(self, row: Mapping[str, Any]) -> None:
        print(json.dumps(row), flush=True)
        self.rows.append(dict(row))
        write_atomically(self._path, json.dumps({"rows": self.rows}, indent=1).encode())

    def add_measured(self, names: Mapping[str, Any], measure: Callable[[], Mapping[str, Any]]) -> None:
        """Adds `names` with what `measure` returns, or with why that cannot be had here."""
        try:
            self.add({**names, **measure()})
        # Running out of memory is a RuntimeError too.
        except (UserError, RuntimeError) as error:
            self.add({**names, "cannot": str(error).splitlines()[0][:300]})


class Report:
    def __init__(self, part: int, device: torch.device, budget_s: float, folder: Path) -> None:
        self._part, self._folder = part, folder
        circumstances = {"hardware": hardware(device), "versions": versions()}
        self.result: dict[str, Any] = {"command": sys.argv, "budget_s": budget_s, **circumstances, "steps": {}}

    def note(self, name: str, outcome: Mapping[str, Any]) -> None:
        """Adds a step with its rows and writes the files."""
        step = {**outcome, "rows": self._rows_of(name)}
        self.result["steps"][name] = step
        print(f"{name}: {_ending(step)}", flush=True)
        write_atomically(self._folder / f"part{self._part}.json", (json.dumps(self.result, indent=1) + "\n").encode())
        write_atomically(self._folder / f"part{self._part}.md", self.markdown().encode())

    @property
    def is_good(self) -> bool:
        """Whether no step failed; one that ran out of time is good if it has measured something."""
        return not any(
            step["ended"] == "failed" or (step["ended"] == "out of time" and not step["rows"] and name not in _NO_ROWS)
            for name, step in self.result["steps"].items()
        )

    def markdown(self) -> str:
        machine = {**self.result["hardware"], **self.result["versions"]}
        card = self.result["hardware"]["gpu"] or "rehearsal without a GPU: its times mean nothing"
        lines = [
            f"# Part {self._part}: {card}",
            ", ".join(f"{name} {value}" for name, value in machine.items() if value),
        ]
        for name, step in self.result["steps"].items():
            lines += [f"## {name}", _ending(step)]
            own_table = self._folder / f"{name}.md"
            if own_table.is_file():
                lines.append(own_table.read_text().strip().replace("\n#", "\n##"))
            elif step["rows"]:
                lines.append(_table(step["rows"]))
        return "\n\n".join(lines) + "\n"

    def _rows_of(self, name: str) -> list[dict[str, Any]]:
        path = self._folder / f"{name}.json"
        return json.loads(path.read_text())["rows"] if path.is_file() else []


def _ending(step: Mapping[str, Any]) -> str:
    reason = f" ({step['reason']})" if "reason" in step else ""
    return f"{step['ended']}{reason}, {step['seconds']:.0f} s"


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    lines = [columns, ["---"] * len(columns), *([_cell(row.get(column)) for column in columns] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1 else f"{value:.2f}"
    return "" if value is None else str(value)
