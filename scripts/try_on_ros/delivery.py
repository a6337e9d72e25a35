"""Clouds of 2 MB from another process over each middleware: received and lost add up, and losses are said."""

from __future__ import annotations

import json

from scripts.try_on_ros.drives import Drive
from scripts.try_on_ros.launching import segment
from scripts.try_on_ros.outcome import Ledger, expect
from scripts.try_on_ros.site import CYCLONE_DDS, FAST_DDS, Site

_REMEDY = "never reached this node: "


def deliveries(site: Site, ledger: Ledger, drive: Drive, large: Drive) -> None:
    """Fast DDS and Cyclone DDS, with the shipped settings and with their own."""
    ledger.attempt(
        f"ros2 launch segment.launch.py over {CYCLONE_DDS}",
        lambda: segment(site.inside("segment_cyclone").over(CYCLONE_DDS), drive),
    )
    for middleware in (FAST_DDS, CYCLONE_DDS):
        for are_shipped, settings in ((True, "shipped"), (False, "default")):
            folder = f"{middleware}_{settings}"
            ledger.attempt(
                f"{large.num_clouds - 1} clouds of 2 MB at 10 Hz over {middleware}, {settings} settings",
                lambda folder=folder, middleware=middleware, are_shipped=are_shipped: _delivered(
                    site.inside(folder).over(middleware, are_shipped), large, middleware, are_shipped
                ),
            )


def _delivered(site: Site, large: Drive, middleware: str, are_shipped: bool) -> str:
    report = site.folder / "node.json"
    parameters = ("-p", f"points_in:={large.topic}", "-p", f"report_path:={report}")
    with site.module("node", "pvd_ros.node", "--ros-args", *parameters) as node:
        node.wait_for("labelling")
        # Nobody hears the node, which then labels nothing: this is about the way to it.
        site.output_of("python3", "-m", "pvd_ros.play", large.bag, "--wait-for-subscribers", "1")
        expect(node.interrupt() == 0, f"the node ended badly: {node.last_lines()}")
        text = node.text()
    counts = json.loads(report.read_text())["clouds"]
    sent, received, lost = large.num_clouds, counts["received"], counts["lost"]
    found = f"sent {sent}, received {received}, lost {lost}, gaps {counts['gaps']}"
    expect(received, f"{found}: nothing came")
    if middleware == FAST_DDS:
        expect(received + lost == sent, f"{found}: they do not add up")
    if received < sent:
        expect(_REMEDY in text, f"{found}: the loss is not said")
        remedy = text.split(_REMEDY)[1].split("\n")[0]
        found += f"; said: {remedy}"
    expect(received == sent or not are_shipped, f"{found}; the shipped settings lose clouds")
    return found
