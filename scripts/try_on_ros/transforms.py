"""A node with past clouds, which finds where they lie by live transforms."""

from __future__ import annotations

from collections.abc import Callable

from pvd_ros.middleware.transport import fastdds_environment
from scripts.try_on_ros.drives import FIXED, Drive
from scripts.try_on_ros.ear import Ear, shown
from scripts.try_on_ros.node_run import POINTS, NodeRun
from scripts.try_on_ros.outcome import Ledger, NotThereError, expect
from scripts.try_on_ros.site import Site

_NUM_PAST = 2


def live_transforms(site: Site, ledger: Ledger, drive: Drive) -> None:
    """Transforms of a bag, by `ros2 bag play` and by `pvd play-bag`."""
    ledger.attempt("past clouds by /tf, ros2 bag play", lambda: _by_bag_play(site.inside("tf_ros2"), drive))
    ledger.attempt("past clouds by /tf, pvd_ros.play --also", lambda: _by_own_player(site.inside("tf_own"), drive))


def _by_bag_play(site: Site, drive: Drive) -> str:
    site.need("ros2 bag")
    large = site.with_variables(**fastdds_environment())
    return _fused(
        site, drive, lambda: large.output_of("ros2", "bag", "play", drive.bag, "--delay", "3", "--rate", "0.2")
    )


def _by_own_player(site: Site, drive: Drive) -> str:
    also = ("--also", "/tf", "--also", "/tf_static")
    words = (drive.bag, "--topic", drive.topic, *also, "--rate", 0.2, "--wait-for-subscribers", 1)
    return _fused(site, drive, lambda: site.output_of("python3", "-m", "pvd_ros.play", *words))


def _fused(site: Site, drive: Drive, play: Callable[[], object]) -> str:
    if not drive.has_transforms:
        raise NotThereError(f"/tf and /tf_static in {drive.bag}")
    parameters = {"fixed_frame": FIXED, "history": _NUM_PAST, "pose_wait_ms": 2000.0}
    with Ear(site, POINTS) as ear, NodeRun(site, drive.topic, **parameters) as node:
        play()
        ear.wait_until_settled("/segmenter", POINTS)
        counts = node.finished()
    alone = counts["without_pose"]
    first = counts["labelled"] - counts["fused"] - alone
    found = f"{shown(counts)}; fused {counts['fused']}, without pose {alone}, with nothing before {first}"
    expect(counts["fused"] and first <= 1, f"{found}: {node.program.last_lines()}")
    # The first may come before the transform after it has.
    expect(alone <= 1, f"{found}: {node.program.last_lines()}")
    return found
