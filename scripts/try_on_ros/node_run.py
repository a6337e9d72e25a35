"""A node that labels a topic, from its start to the counters in its report."""

from __future__ import annotations

import json
from typing import Any

from scripts.try_on_ros.outcome import expect
from scripts.try_on_ros.programs import Program
from scripts.try_on_ros.site import Site

POINTS = "/segmenter/points"


class NodeRun:
    """A context manager, entered once the node labels."""

    def __init__(self, site: Site, topic: str, **parameters: Any) -> None:
        self._report = site.folder / "node.json"
        values = {"points_in": topic, "report_path": self._report, **parameters}
        words = [word for name, value in values.items() for word in ("-p", f"{name}:={value}")]
        self.program: Program = site.module("node", "pvd_ros.node", "--ros-args", *words)

    def __enter__(self) -> NodeRun:
        try:
            self.program.wait_for("labelling")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.program.__exit__()

    def finished(self) -> dict[str, int]:
        """What became of the clouds, after Ctrl-C; UserError where the node does not end well."""
        expect(self.program.interrupt() == 0, f"the node ended badly: {self.program.last_lines()}")
        return json.loads(self._report.read_text())["clouds"]
