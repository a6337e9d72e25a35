"""One case: a publisher and a subscriber as two processes, and where they meet."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pvd_cli.demo.processes import Child
from scripts.try_on_ros.site import SETTINGS, plain_settings

TOPIC, DEPTH = "/delivery/points", 5  # as deep as the node and the player
# What a cloud is called that is sent before those that count.
WARM_UP = "warm_up"
LISTENS, HAS_SENT = "the subscriber listens", "the publisher has sent all"
RELIABILITIES = ("best_effort", "reliable")
DEFAULT, SHIPPED = "default", "shipped"
_PATIENCE_S = 60


@dataclass(frozen=True)
class Case:
    """settings: DEFAULT, those of the middleware, or SHIPPED, those in config/."""

    settings: str
    reliability: str
    num_points: int
    rate_hz: int
    seconds: float


def run_case(case: Case, environment: dict[str, str], folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the publisher and the subscriber report of a case; `environment` names their ROS domain. Logs and reports
    lie in `folder`. UserError where one of them does not start or end."""
    chosen = plain_settings(folder) if case.settings == DEFAULT else dict.fromkeys(SETTINGS, "")
    variables = {**environment, **chosen, "ROS_LOG_DIR": str(folder / "ros_log")}
    reports = [folder / "publisher.json", folder / "subscriber.json"]
    shared = ["--reliability", case.reliability]
    sending = ["--points", case.num_points, "--rate", case.rate_hz, "--seconds", case.seconds]
    with Child(
        "subscriber", "scripts.delivery.subscriber", [reports[1], *shared], variables, folder / "subscriber.log"
    ) as subscriber:
        subscriber.wait_for_output(LISTENS, _PATIENCE_S)
        with Child(
            "publisher",
            "scripts.delivery.publisher",
            [reports[0], *shared, *sending],
            variables,
            folder / "publisher.log",
        ) as publisher:
            publisher.wait_for_output(HAS_SENT, case.seconds + _PATIENCE_S)
            # The publisher stays until then: clouds that were not taken yet lie in its memory.
            subscriber.finish(_PATIENCE_S)
            publisher.finish(_PATIENCE_S)
    sent, heard = (json.loads(report.read_text()) for report in reports)
    return sent, heard
