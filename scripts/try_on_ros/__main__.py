"""Tries this package on the ROS 2 that is sourced, with real processes: colcon, launch, ros2cli, rosbag2, transforms,
both middlewares.

  source /opt/ros/jazzy/setup.bash && source .venv/bin/activate
  python3 -m scripts.try_on_ros                      # everything, in a temporary folder
  python3 -m scripts.try_on_ros --keep out           # logs and bags stay in the new folder `out`
  python3 -m scripts.try_on_ros --only lifecycle     # the steps that have this in their name

It needs a sourced ROS 2, and in the python3 of PATH torch and what else the node needs. A tool that is not installed is
named, and its step is skipped. Prints a line for each step, and a table last. Exit code 1 if a step did not hold.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pvd_cli.demo.domain import free_domain
from pvd_core.borders.errors import UserError
from pvd_ros.middleware.packages import NODE_NEEDS, require_packages
from pvd_ros.middleware.ros_session import require_rclpy
from scripts.try_on_ros.bag_tools import bag_tools
from scripts.try_on_ros.delivery import deliveries
from scripts.try_on_ros.drives import opened_drive, simulated_drive
from scripts.try_on_ros.launching import launch_files
from scripts.try_on_ros.node_tools import node_tools
from scripts.try_on_ros.outcome import Ledger, NotThereError
from scripts.try_on_ros.site import CYCLONE_DDS, FAST_DDS, ROOT, Site
from scripts.try_on_ros.transforms import live_transforms
from scripts.try_on_ros.workspace import workspace

# Those whose versions are shown.
_SHOWN = (
    *("rclpy", "rclcpp", FAST_DDS, CYCLONE_DDS, "fastrtps", "launch", "launch_ros", "ros2cli", "rosbag2_transport"),
    *("tf2_msgs", "sensor_msgs", "rviz2", "kiss_icp"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 1 if a step did not hold, 2 if nothing can be tried here."""
    options = _options(arguments)
    ledger = Ledger(options.only)
    try:
        if not os.environ.get("AMENT_PREFIX_PATH"):
            raise UserError("no ROS 2 is sourced; in this terminal: source /opt/ros/jazzy/setup.bash")
        require_rclpy()
        require_packages(*NODE_NEEDS)
        with _folder(options.keep) as folder, _site(folder, options.patience) as site:
            _try_all(site, ledger, options)
    except UserError as error:
        print(f"try_on_ros: {error}", file=sys.stderr)
        return 2
    print(f"\n{ledger.table()}")
    return 1 if ledger.has_failures else 0


def _try_all(site: Site, ledger: Ledger, options: argparse.Namespace) -> None:
    drive = opened_drive(options.bag.resolve(), options.topic) if options.bag else simulated_drive(site.folder)
    site = workspace(site, ledger)
    launch_files(site, ledger, drive)
    bag_tools(site.inside("bags"), ledger, drive)
    node_tools(site.inside("tools"), ledger)
    live_transforms(site, ledger, drive)
    deliveries(site, ledger, drive)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="try_on_ros_") as folder:
            yield Path(folder)
        return
    if keep.exists():
        raise UserError(f"{keep} exists already; choose a new folder for --keep")
    keep.mkdir(parents=True)
    yield keep.resolve()


@contextmanager
def _site(folder: Path, patience_s: float) -> Iterator[Site]:
    with free_domain() as domain:
        variables = os.environ | {
            "ROS_DOMAIN_ID": str(domain),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
            "ROS_LOG_DIR": str(folder / "log"),
            # Behind what is installed: the package itself, where no workspace can be built.
            "PYTHONPATH": os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), str(ROOT)))),
        }
        site = Site(folder, patience_s, variables)
        try:
            site = site.over(FAST_DDS)
        except NotThereError as missing:
            raise UserError(f"the sourced ROS 2 has no {missing}; source /opt/ros/jazzy/setup.bash") from missing
        distribution = os.environ.get("ROS_DISTRO", "not sourced")
        print(f"ROS 2 {distribution}, Python {platform.python_version()}, domain {domain}, in {folder}")
        print(", ".join(site.versions(_SHOWN)), flush=True)
        try:
            yield site
        finally:
            # ros2cli leaves a daemon on the domain.
            if shutil.which("ros2"):
                subprocess.run(["ros2", "daemon", "stop"], env=dict(site.variables), capture_output=True)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    about = __doc__ or ""
    parser = argparse.ArgumentParser(
        prog="python3 -m scripts.try_on_ros", description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bag", type=Path, help="bag to play; default: a simulated drive of a second")
    parser.add_argument("--topic", help="cloud topic of --bag; default: its only one")
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="new folder for logs and bags; default: none is kept"
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="only the steps that have TEXT in their names")
    parser.add_argument("--patience", type=float, default=180.0, metavar="S", help="seconds after which a step hangs")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
