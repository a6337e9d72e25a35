"""The options that every step gets, and what the steps share."""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pvd_core.borders.errors import UserError
from pvd_core.clouds import find_clouds, read_cloud
from pvd_core.clouds.measured import is_measured, measured_points


def step_parser(description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--device", required=True)
    parser.add_argument("--end", type=float, required=True, help="when the step ends by itself, as time.time() counts")
    parser.add_argument("--json", type=Path, required=True, help="where its rows go")
    parser.add_argument("--scans", nargs="+", type=Path, required=True)
    return parser


def seconds_left(options: argparse.Namespace) -> float:
    return options.end - time.time()


def clouds_of(options: argparse.Namespace) -> list[np.ndarray]:
    """The measured points of each scan, float32 (N, 4)."""
    clouds = [read_cloud(path) for path in find_clouds(options.scans)]
    return [measured_points(points, is_measured(points)) for points in clouds]


def run_main(main: Callable[[], int | None]) -> None:
    """Ends the program with what `main` returns, and with one line where its input does not serve."""
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f"error: {error}")
