"""What listening.py hears, asked for here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from scripts.try_on_ros.outcome import expect
from scripts.try_on_ros.site import Site

FATES = ("labelled", "dropped", "rejected", "skipped")
FIELDS = ["x", "y", "z", "intensity", "rgb", "confidence", "label"]
# Of the node's diagnostics, one a second.
_QUIET_REPORTS = 3


class Ear:
    """Counts the clouds of topics, and has the latest counters of nodes. A context manager."""

    def __init__(self, site: Site, *topics: str, name: str = "ear") -> None:
        self._program = site.program(name, "python3", Path(__file__).with_name("listening.py"), *topics)

    def __enter__(self) -> Ear:
        self._program.__enter__()
        try:
            self._program.wait_for("listening")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._program.__exit__()

    def heard(self, topic: str) -> int:
        """How many clouds came on a topic."""
        return self._latest().get("heard", {}).get(topic, 0)

    def counts(self, node: str) -> dict[str, int]:
        """The counters of a node, by its whole name; empty before its first report."""
        return self._latest().get("counts", {}).get(node, {})

    def wait_until_settled(self, node: str, topic: str) -> dict[str, int]:
        """The node's counters once all that it received is accounted for, all labelled clouds were heard on `topic`,
        and nothing has changed for some reports."""
        before, since = {}, 0

        def is_settled() -> bool:
            nonlocal before, since
            counts, reports = self.counts(node), self._latest().get("reports", {}).get(node, 0)
            if counts != before:
                before, since = counts, reports
            is_accounted_for = counts and counts["received"] == sum(counts[fate] for fate in FATES)
            return bool(
                is_accounted_for
                and counts["received"]
                and counts["labelled"] == self.heard(topic)
                and reports >= since + _QUIET_REPORTS
            )

        self._program.wait_until(is_settled, f"did not hear on {topic} all that {node} labelled")
        return before

    def check_cloud(self, topic: str) -> None:
        """UserError if the last cloud has not the fields of labelled ones, or no points."""
        fields, num_points = self._latest()["cloud"][topic]
        expect(fields == FIELDS, f"{topic} has the fields {fields}, expected {FIELDS}")
        expect(num_points, f"{topic} has no points")

    def _latest(self) -> dict[str, Any]:
        complete = [line for line in self._program.text().split("\n")[:-1] if line.startswith("{")]
        return json.loads(complete[-1]) if complete else {}


def shown(counts: dict[str, int]) -> str:
    """What became of the clouds, for people."""
    return ", ".join(
        f"{name} {counts[name]}" for name in ("received", *FATES, "lost") if counts[name] or name == "received"
    )
