"""Whether odometry gains when movers are left out: KISS-ICP on all points of simulated drives, and on ~/static.

  python -m scripts.slam_trajectory --json slam.json --markdown slam.md --picture slam.png

Needs the extras `slam` and `ros`. `~/static` is chosen by the node's own code; the first clouds of one drive also go
through the real node, and exit code 1 says that it published something else.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from pvd_core import default_weights
from pvd_core.borders.errors import UserError
from pvd_core.runtime.hardware import cpu_name
from pvd_core.segmenter import Segmenter
from pvd_ros.poses.registration import Registration
from scripts.slam_trajectory.drives import RegisteredDrive, registered_drive
from scripts.slam_trajectory.report import markdown_of

# Of streets that the shipped weights were not trained on.
_FIRST_SEED = 7001


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 1 if the node publishes other points than were measured with, 2 if it cannot be measured."""
    options = _options(arguments)
    try:
        Registration()  # before minutes of simulating
        node = _through_node(options)
        drives = list(_registered_drives(options))
    except UserError as error:
        print(f"slam_trajectory: {error}", file=sys.stderr)
        return 2
    figures = _figures(drives, node, options)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    if options.markdown:
        options.markdown.write_text(markdown_of(figures))
    if options.picture:
        from scripts.slam_trajectory.picture import save_picture

        save_picture(options.picture, drives)
    print(markdown_of(figures))
    return 1 if node and node["differing_clouds"] else 0


def _registered_drives(options: argparse.Namespace) -> Iterator[RegisteredDrive]:
    segmenter = Segmenter.from_weights(options.weights, "cpu")
    for world in options.worlds.split(","):
        for seed in _seeds(options):
            start = time.process_time()
            yield registered_drive(world, seed, options.scans, options.interval, segmenter)
            print(f"{world}, seed {seed}: {time.process_time() - start:.0f} s of CPU", flush=True)


def _figures(drives: Sequence[RegisteredDrive], node: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    return {
        "scans": options.scans,
        "interval_s": options.interval,
        "seeds": _seeds(options),
        "weights": options.weights.name,
        "kiss_icp": metadata.version("kiss-icp"),
        "cpu": cpu_name(),
        "rows": [row for drive in drives for row in drive.rows()],
        "node": node,
    }


def _through_node(options: argparse.Namespace) -> dict[str, Any]:
    """What came of the clouds of a drive in the last world; empty where that is not asked for."""
    if not options.node_clouds:
        return {}
    from scripts.slam_trajectory.by_node import compared_with_node

    world = options.worlds.split(",")[-1]
    with tempfile.TemporaryDirectory() as folder:
        found = compared_with_node(
            world, _FIRST_SEED, options.node_clouds, options.interval, options.weights, Path(folder, "node")
        )
    return {"world": world, **found}


def _seeds(options: argparse.Namespace) -> list[int]:
    return list(range(_FIRST_SEED, _FIRST_SEED + options.seeds))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.slam_trajectory", description="Odometry with and without what moves."
    )
    parser.add_argument("--worlds", default="mixed,full-highway,rush-hour", help="of `pvd simulate`")
    parser.add_argument("--seeds", type=int, default=3, help="streets of each world")
    parser.add_argument("--scans", type=int, default=60, help="clouds of a drive")
    parser.add_argument(
        "--interval", type=float, default=0.2, help="seconds between clouds; the node labels 5 a second"
    )
    parser.add_argument("--weights", type=Path, default=default_weights(), help="in place of the shipped ones")
    parser.add_argument("--node-clouds", type=int, default=10, help="through the real node as well; 0: none")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--markdown", type=Path, help="file for the figures as tables")
    parser.add_argument("--picture", type=Path, help="PNG of trajectories and errors")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
