"""What came of a fleet of bags, as JSON and in numbers."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from pvd_core.borders.files import write_atomically
from pvd_core.borders.wording import counted
from pvd_ros.fleet.task import FAILED, LABELLED, SKIPPED, BagResult

NAME = "report.json"


class FleetReport:
    """The results of all bags, by name."""

    def __init__(self, results: Sequence[BagResult], remarks: Sequence[str]) -> None:
        self.results = sorted(results, key=lambda result: result.name)
        self.remarks = list(remarks)

    def of_status(self, status: str) -> list[BagResult]:
        """Those that were labelled, skipped or failed."""
        return [result for result in self.results if result.status == status]

    @property
    def is_whole(self) -> bool:
        """Whether every cloud of every bag was labelled."""
        return all(result.is_whole for result in self.results)

    @property
    def num_spoilt(self) -> int:
        """Judged clouds whose labels are worthless."""
        return sum(result.num_spoilt for result in self.results)

    def counts_line(self) -> str:
        """How many bags are labelled, skipped and failed, in one line."""
        labelled, skipped, failed = (len(self.of_status(status)) for status in (LABELLED, SKIPPED, FAILED))
        return f"{counted(labelled, 'bag')} labelled, {skipped} skipped, {failed} failed"

    def write(self, out: Path) -> Path | None:
        """Writes it into the folder of the results; None where that of an earlier run stays, as this one labelled
        nothing. UserError where it cannot be written."""
        if (out / NAME).is_file() and not self.of_status(LABELLED):
            return None
        totals = {status: len(self.of_status(status)) for status in (LABELLED, SKIPPED, FAILED)}
        clouds = {name: sum(getattr(result, name) for result in self.results) for name in ("clouds", "labelled")}
        content = {
            "bags": {"found": len(self.results), **totals},
            "clouds": {"found": clouds["clouds"], "labelled": clouds["labelled"]},
            "remarks": self.remarks,
            "results": [dataclasses.asdict(result) for result in self.results],
        }
        write_atomically(out / NAME, json.dumps(content, indent=1).encode())
        return out / NAME
