"""How many large clouds arrive from another process of this machine, and how late: default and shipped settings of the
middleware, best effort and reliable.

  python3 -m scripts.delivery                                                   # sixteen cases, ten seconds each
  python3 -m scripts.delivery --points 250000 --rate 20 --settings shipped      # those of them

It measures the middleware that RMW_IMPLEMENTATION names, Fast DDS where nothing does. Prints a line of JSON as each
case ends, and a table last.
"""

import argparse
import itertools
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pvd_cli.comma_lists import numbers_in, some_names_in
from pvd_cli.demo.domain import ros_environment
from pvd_core.borders.errors import UserError, unknown_name
from pvd_core.borders.files import check_output
from pvd_core.runtime.hardware import cpu_name
from pvd_ros.middleware.ros_session import require_rclpy
from pvd_ros.middleware.stale_segments import remove_stale_segments
from pvd_ros.middleware.transport import RECEIVE_LIMIT
from scripts.delivery.case import DEFAULT, RELIABILITIES, SHIPPED, Case, run_case
from scripts.delivery.figures import markdown_of, row_of
from scripts.try_on_ros.site import ROOT

_MOST_POINTS, _MOST_HZ, _LEAST_S, _MOST_S = 1_000_000, 200, 1.0, 3600.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 2 if it cannot be measured."""
    options = _options(arguments)
    try:
        cases = _cases(options)
        for path in filter(None, (options.json, options.markdown)):
            check_output(path)
        figures = _measured(cases, options.out)
    except UserError as error:
        print(f"delivery: {error}", file=sys.stderr)
        return 2
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    if options.markdown:
        options.markdown.write_text(markdown_of(figures))
    print(markdown_of(figures), end="")
    return 0


def _cases(options: argparse.Namespace) -> list[Case]:
    if not _LEAST_S <= options.seconds <= _MOST_S:
        raise UserError(f"--seconds {options.seconds:g}: expected {_LEAST_S:g} to {_MOST_S:g}")
    points = numbers_in(options.points, "--points", 1, _MOST_POINTS)
    rates = numbers_in(options.rate, "--rate", 1, _MOST_HZ)
    reliabilities = _chosen("reliability", "--reliability", options.reliability, RELIABILITIES)
    settings = _chosen("setting", "--settings", options.settings, (DEFAULT, SHIPPED))
    chosen = itertools.product(settings, reliabilities, points, rates)
    return [Case(*each, options.seconds) for each in chosen]


def _chosen(what: str, option: str, text: str, known: Sequence[str]) -> tuple[str, ...]:
    names = some_names_in(text, option)
    for name in names:
        if name not in known:
            raise unknown_name(what, name, known)
    return names


def _measured(cases: Sequence[Case], folder: Path) -> dict[str, Any]:
    """Every case in turn. load: mean number of processes that ran or waited in the minute before. rmem_max: the
    kernel's limit of receive buffers, in bytes, which the settings of Cyclone DDS may not reach."""
    require_rclpy()
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    try:
        with ros_environment() as environment:
            for case in cases:
                load = round(os.getloadavg()[0], 2)
                rows.append(row_of(case, *run_case(case, environment, folder)) | {"load": load})
                print(json.dumps(rows[-1]), flush=True)
    finally:
        remove_stale_segments()  # of processes that had to be killed
    rmem_max = int(RECEIVE_LIMIT.read_text()) if RECEIVE_LIMIT.is_file() else None
    return {"cpu": cpu_name(), "cores": os.cpu_count(), "rmem_max": rmem_max, "rows": rows}


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 -m scripts.delivery", description="Delivery of large clouds.")
    parser.add_argument("--points", default="120000,250000", help="points of a cloud, separated by commas")
    parser.add_argument("--rate", default="10,20", help="clouds a second, separated by commas")
    parser.add_argument("--reliability", default=",".join(RELIABILITIES), help="best_effort, reliable")
    parser.add_argument("--settings", default=f"{DEFAULT},{SHIPPED}", help="default, shipped")
    parser.add_argument("--seconds", type=float, default=10.0, help="for how long clouds are sent in each case")
    parser.add_argument("--out", type=Path, default=ROOT / "build/delivery", help="folder of logs")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--markdown", type=Path, help="file for the figures as a table")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
