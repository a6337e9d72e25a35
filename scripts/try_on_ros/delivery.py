"""Clouds of 2 MB from another process over each middleware: received and lost add up, and losses are said."""

from __future__ import annotations

from scripts.try_on_ros.drives import NUM_LARGE, NUM_SMALL, Drive, large_clouds
from scripts.try_on_ros.launching import segment
from scripts.try_on_ros.node_run import NodeRun
from scripts.try_on_ros.outcome import Ledger, expect
from scripts.try_on_ros.site import CYCLONE_DDS, FAST_DDS, Site

_REMEDY = "never reached this node: "


def deliveries(site: Site, ledger: Ledger, drive: Drive) -> None:
    """Fast DDS and Cyclone DDS, with the shipped settings and with their own."""
    large = large_clouds(site.folder)
    ledger.attempt(
        f"ros2 launch segment.launch.py over {CYCLONE_DDS}",
        lambda: segment(site.inside("segment_cyclone").over(CYCLONE_DDS), drive),
    )
    for middleware in (FAST_DDS, CYCLONE_DDS):
        for are_shipped, settings in ((True, "shipped"), (False, "default")):
            folder = f"{middleware}_{settings}"
            ledger.attempt(
                f"{NUM_LARGE} clouds of 2 MB at 10 Hz over {middleware}, {settings} settings",
                lambda folder=folder, middleware=middleware, are_shipped=are_shipped: _delivered(
                    site.inside(folder).over(middleware, are_shipped), large, middleware, are_shipped
                ),
            )


def _delivered(site: Site, large: Drive, middleware: str, are_shipped: bool) -> str:
    with NodeRun(site, large.topic) as node:
        # Nobody hears the node, which then labels nothing: this is about the way to it.
        site.output_of("python3", "-m", "pvd_ros.play", large.bag, "--wait-for-subscribers", "1")
        counts, text = node.finished(), node.program.text()
    received, gaps = counts["received"], counts["gaps"]
    # Fast DDS numbers the clouds, so that the count is exact; elsewhere gaps between stamps tell.
    lost = counts["lost"] if middleware == FAST_DDS else max(counts["lost"], gaps)
    found = f"sent {large.num_clouds}, received {received}, lost {counts['lost']}, gaps {gaps}"
    unknown = large.num_clouds - received - lost
    # Clouds that were sent before the node had discovered the player are no loss.
    expect(0 <= unknown < NUM_SMALL, f"{found}: they do not add up")
    if lost:
        expect(_REMEDY in text, f"{found}: the loss is not said")
        found += f"; said: {text.split(_REMEDY)[1].splitlines()[0]}"
    expect(not lost or not are_shipped, f"{found}; the shipped settings lose clouds")
    return found
