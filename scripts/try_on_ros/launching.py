"""The launch files: their arguments, and each for real, ended by Ctrl-C."""

from __future__ import annotations

import re
from contextlib import ExitStack

from scripts.try_on_ros.drives import Drive
from scripts.try_on_ros.ear import Ear, shown
from scripts.try_on_ros.node_run import POINTS
from scripts.try_on_ros.outcome import Ledger, NotThereError, expect
from scripts.try_on_ros.programs import Program
from scripts.try_on_ros.site import ROOT, Site

# Launch files that need a package of others.
_SLAM, _VIEW = "slam.launch.py", "view_bag.launch.py"
_NAMESPACES = ("front", "rear")


def launch_files(site: Site, ledger: Ledger, drive: Drive) -> None:
    """Every file in launch/."""
    for path in sorted((ROOT / "launch").glob("*.launch.py")):
        name = path.name
        ledger.attempt(f"ros2 launch {name} --show-args", lambda name=name: _show_arguments(site, name))
    ledger.attempt("ros2 launch segment.launch.py", lambda: segment(site.inside("segment"), drive))
    ledger.attempt("ros2 launch several.launch.py", lambda: _several(site.inside("several"), drive))
    ledger.attempt(f"ros2 launch {_SLAM}", lambda: _slam(site.inside(_SLAM), drive))
    ledger.attempt(f"ros2 launch {_VIEW}", lambda: _view(site.inside(_VIEW), drive))


def segment(site: Site, drive: Drive) -> str:
    """The node and the player, all that is labelled heard by another process."""
    words = (f"bag:={drive.bag}", f"bag_topic:={drive.topic}", "stay:=true")
    with Ear(site, POINTS) as ear, _launched(site, "segment.launch.py", *words) as launched:
        launched.wait_for(r"played \d+ cloud")
        counts = ear.wait_until_settled("/segmenter", POINTS)
        ear.check_cloud(POINTS)
        expect(counts["received"] + counts["lost"] == drive.num_clouds, f"of {drive.num_clouds}: {shown(counts)}")
        return f"{shown(counts)}, heard {ear.heard(POINTS)}; {_ended(launched, 2)}"


def _show_arguments(site: Site, name: str) -> str:
    site.need("ros2 launch")
    site.need_package("pvd_ros")
    text = site.output_of("ros2", "launch", "pvd_ros", name, "--show-args")
    found = re.findall(r"^    '(\w+)':", text, re.MULTILINE)
    expect(found, f"no arguments are shown: {text}")
    return f"{len(found)} arguments"


def _several(site: Site, drive: Drive) -> str:
    sensors = ",".join(f"{name}=/{name}/lidar" for name in _NAMESPACES)
    topics = {f"/{name}/segmenter": f"/{name}/segmenter/points" for name in _NAMESPACES}
    with (
        Ear(site, *topics.values()) as ear,
        _launched(site, "several.launch.py", f"sensors:={sensors}") as launched,
        ExitStack() as stack,
    ):
        launched.wait_for(r"(?s)(labelling /\w+/lidar.*){2}")
        words = ("--topic", drive.topic, "--wait-for-subscribers", 1)
        for name in _NAMESPACES:
            player = site.module(f"player {name}", "pvd_ros.play", drive.bag, *words, "--publish-as", f"/{name}/lidar")
            stack.enter_context(player).wait_for(r"played \d+ cloud")
        found = [f"{node}: {shown(ear.wait_until_settled(node, topic))}" for node, topic in topics.items()]
        return f"{'; '.join(found)}; {_ended(launched, 2)}"


def _slam(site: Site, drive: Drive) -> str:
    """KISS-ICP publishes odometry while the node labels."""
    _check_refused_without("kiss_icp", site, _SLAM)
    site.need("ros2 topic")
    hear = ("ros2", "topic", "echo", "--once", "/kiss/odometry", "nav_msgs/msg/Odometry")
    words = ("--topic", drive.topic, "--publish-as", "/velodyne_points", "--wait-for-subscribers", "1", "--loop")
    with Ear(site, POINTS) as ear, _launched(site, _SLAM) as launched:
        launched.wait_for("labelling")
        with (
            site.program("odometry", *hear) as odometry,
            site.module("player", "pvd_ros.play", drive.bag, *words),
        ):
            launched.wait_until(lambda: ear.heard(POINTS), f"published nothing on {POINTS}")
            launched.wait_until(lambda: odometry.has_ended, "published no odometry")
            expect("position:" in odometry.text(), f"`{' '.join(hear)}`: {odometry.last_lines()}")
        return f"heard {POINTS} and /kiss/odometry; {_ended(launched, 2)}"


def _view(site: Site, drive: Drive) -> str:
    """RViz and another process hear the clouds of the bag."""
    words = (f"bag:={drive.bag}", f"topic:={drive.topic}")
    _check_refused_without("rviz2", site, _VIEW, *words)
    site.need("ros2 topic")
    ask = ("ros2", "topic", "info", "--verbose", POINTS)
    with Ear(site, POINTS) as ear, _launched(site, _VIEW, *words) as launched:
        launched.wait_until(lambda: ear.heard(POINTS), f"published nothing on {POINTS}")
        launched.wait_until(lambda: "Node name: rviz" in site.output_of(*ask), f"has no RViz that hears {POINTS}")
        return f"heard {POINTS}, RViz too; {_ended(launched, 3)}"


def _check_refused_without(package: str, site: Site, name: str, *words: str) -> None:
    """NotThereError if the package is missing; UserError if the launch file is not refused then."""
    if site.has_package(package):
        return
    with _launched(site, name, *words) as launched:
        code = launched.wait()
        refuses = code == 1 and f"there is no {package}" in launched.text()
        expect(refuses and "process started" not in launched.text(), f"exit code {code}: {launched.last_lines()}")
    raise NotThereError(f"{package}; refused with what to install, before anything started")


def _launched(site: Site, name: str, *words: str) -> Program:
    site.need("ros2 launch")
    site.need_package("pvd_ros")
    return site.program(name, "ros2", "launch", "pvd_ros", name, *words)


def _ended(launched: Program, num_processes: int) -> str:
    """Ends launch by Ctrl-C; UserError if it or one of its processes failed, or a process is left."""
    expect(not launched.has_ended, f"{launched.name} ended by itself: {launched.last_lines()}")
    code = launched.interrupt()
    text = launched.text()
    started = re.findall(r"\[([\w.-]+)\]: process started with pid", text)
    clean = re.findall(r"\[([\w.-]+)\]: process has finished cleanly", text)
    expect(len(started) == num_processes, f"{started} were started, expected {num_processes} processes")
    expect(set(clean) == set(started), f"of {started} only {clean} finished cleanly: {launched.last_lines()}")
    expect(code == 0, f"ros2 launch ended with exit code {code} after Ctrl-C: {launched.last_lines()}")
    expect(not launched.left(), f"processes {launched.left()} outlived launch")
    return f"exit code 0 of launch and {num_processes} processes, none left"
