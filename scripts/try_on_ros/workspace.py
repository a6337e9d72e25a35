"""This package in a workspace, built with colcon."""

from __future__ import annotations

from dataclasses import replace

from scripts.try_on_ros.outcome import Ledger, expect
from scripts.try_on_ros.site import ROOT, Site

PROGRAMS = ("pvd", "segmenter_node")


def workspace(site: Site, ledger: Ledger) -> Site:
    """Builds it, and returns the site with the workspace sourced; the same site where it could not be built."""
    folder = site.folder / "workspace"
    setup = folder / "install/setup.bash"

    def build() -> str:
        site.need("colcon")
        (folder / "src").mkdir(parents=True)
        (folder / "src/pvd_ros").symlink_to(ROOT)
        words = ("build", "--packages-select", "pvd_ros", "--event-handlers", "console_direct+")
        text = replace(site, folder=folder).output_of("colcon", *words)
        expect("Finished <<< pvd_ros" in text and setup.is_file(), f"colcon built no {setup}")
        return "1 package finished"

    def list_programs() -> str:
        site.need("ros2 pkg")
        found = site.output_of("ros2", "pkg", "executables", "pvd_ros").split("\n")
        missing = [name for name in PROGRAMS if f"pvd_ros {name}" not in found]
        expect(not missing, f"`ros2 pkg executables pvd_ros` has no {', '.join(missing)}")
        return ", ".join(PROGRAMS)

    if ledger.attempt("colcon build", build, is_needed=True) or setup.is_file():
        site = site.sourced(setup)
    ledger.attempt("ros2 pkg executables", list_programs)
    return site
