"""Minutes of clouds into the real node, faster than it can label them or at its own pace; says whether it holds.

  python -m scripts.endurance --minutes 10              # five times as many clouds as it can label
  python -m scripts.endurance --hours 1 --times 1       # as many as it can label

Prints a line of JSON last. Exit code 1 if a cloud is not accounted for, memory grows, or clouds wait too long.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from pvd_cli.demo.domain import ros_environment
from pvd_cli.demo.processes import Child
from pvd_core.borders.errors import UserError
from scripts.endurance.figures import Figures, complaints, figures_of, markdown_of
from scripts.endurance.sensor import Run, sensor_beside

ROOT = Path(__file__).resolve().parents[2]
TOPIC = "/endurance/points"
_PATIENCE_S = 300


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 1 if the node does not hold, 2 if it cannot be measured."""
    options = _options(arguments)
    try:
        figures = _measured(options)
    except UserError as error:
        print(f"endurance: {error}", file=sys.stderr)
        return 2
    found = complaints(figures)
    for complaint in found:
        print(f"endurance: {complaint}", file=sys.stderr)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    if options.markdown:
        options.markdown.write_text(markdown_of(figures))
    print(json.dumps(figures))
    return 1 if found else 0


def _measured(options: argparse.Namespace) -> Figures:
    options.out.mkdir(parents=True, exist_ok=True)
    report = options.out / "node.json"
    report.unlink(missing_ok=True)
    given = [f"points_in:={TOPIC}", "always_label:=true", f"report_path:={report.resolve()}", *options.parameter]
    words = ["--ros-args", *(word for parameter in given for word in ("-p", parameter))]
    with (
        ros_environment() as environment,
        Child("node", "pvd_ros.node", words, environment, options.out / "node.log") as node,
    ):
        node.wait_for_output("labelling", _PATIENCE_S)
        with sensor_beside(node, TOPIC, options.points) as sensor:
            run: Run = sensor.run(60 * options.minutes, options.times)
        node.finish(_PATIENCE_S)
    return figures_of(run, json.loads(report.read_text())["clouds"], options)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scripts.endurance", description="Minutes of clouds into the node.")
    parser.add_argument("--minutes", type=float, default=10.0, help="for how long clouds are sent")
    parser.add_argument("--hours", type=float, help="in place of --minutes")
    parser.add_argument("--times", type=float, default=5.0, help="clouds sent for each that the node can label")
    parser.add_argument("--points", type=int, default=60_000, help="points of a cloud")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "build/endurance", help="folder of the node's log and report"
    )
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--markdown", type=Path, help="file for the figures as a table")
    parser.add_argument("parameter", nargs="*", help="parameters of the node, NAME:=VALUE")
    options = parser.parse_args(arguments)
    if options.hours is not None:
        options.minutes = 60 * options.hours
    return options


if __name__ == "__main__":
    sys.exit(main())
