"""ros2 bag: what it reads of ours, plays into the node, and records of what that publishes."""

from __future__ import annotations

import re
from pathlib import Path

from pvd_ros.middleware.transport import fastdds_environment
from scripts.try_on_ros.drives import Drive, recorded
from scripts.try_on_ros.ear import FIELDS, Ear, shown
from scripts.try_on_ros.node_run import POINTS, NodeRun
from scripts.try_on_ros.outcome import Ledger, expect
from scripts.try_on_ros.site import Site


def bag_tools(site: Site, ledger: Ledger, drive: Drive) -> None:
    """Information, a new index, play and record in both kinds of files."""
    ledger.attempt("ros2 bag info", lambda: _information(site, drive))
    ledger.attempt("ros2 bag reindex", lambda: _reindexed(site.inside("reindex"), drive))
    for storage in ("mcap", "sqlite3"):
        name = f"ros2 bag play, ros2 bag record --storage {storage}"
        ledger.attempt(name, lambda storage=storage: _play_and_record(site.inside(storage), drive, storage))


def _information(site: Site, drive: Drive) -> str:
    site.need("ros2 bag")
    text = site.output_of("ros2", "bag", "info", drive.bag)
    expect(f"Topic: {drive.topic} " in text and f"Count: {drive.num_clouds} " in text, text)
    return f"{drive.num_clouds} clouds on {drive.topic}"


def _reindexed(site: Site, drive: Drive) -> str:
    """metadata.yaml of a bag that `pvd label-bag` has written, made anew."""
    site.need("ros2 bag", "ros2 run")
    site.need_package("pvd_ros")
    bag, topic = site.folder / "labelled", f"{drive.topic}/labelled"
    site.output_of("ros2", "run", "pvd_ros", "pvd", "label-bag", drive.bag, bag, "--topic", drive.topic)
    before = _topics(site, bag)
    expect(any(line.startswith(f"Topic: {topic} ") for line in before), f"no {topic} in {before}")
    (bag / "metadata.yaml").unlink()
    site.output_of("ros2", "bag", "reindex", bag)
    after = _topics(site, bag)
    expect(after == before, f"before: {before}; afterwards: {after}")
    return f"{len(after)} topics of a labelled bag"


def _topics(site: Site, bag: Path) -> list[str]:
    return sorted(re.findall("Topic: .*", site.output_of("ros2", "bag", "info", bag)))


def _play_and_record(site: Site, drive: Drive, storage: str) -> str:
    site.need("ros2 bag")
    # As docs/ros2.md says of programs that are started elsewhere.
    large = site.with_variables(**fastdds_environment())
    with (
        Ear(site, POINTS) as ear,
        NodeRun(site, drive.topic) as node,
        large.program("record", "ros2", "bag", "record", "-o", "recorded", "-s", storage, POINTS) as record,
    ):
        record.wait_for(f"Subscribed to topic '{POINTS}'")
        large.output_of("ros2", "bag", "play", drive.bag, "--delay", "3", "--topics", drive.topic)
        counts = ear.wait_until_settled("/segmenter", POINTS)
        code = record.interrupt()
        expect(code in (0, 2), f"ros2 bag record ended with exit code {code}: {record.last_lines()}")
        clouds = node.finished()
    num_recorded, fields = recorded(site.folder / "recorded", POINTS)
    expect(clouds["labelled"] == num_recorded, f"labelled {clouds['labelled']}, recorded {num_recorded}")
    expect(fields == FIELDS, f"recorded clouds have the fields {fields}, expected {FIELDS}")
    lost = drive.num_clouds - clouds["received"]
    expect(lost == clouds["lost"], f"of {drive.num_clouds} clouds played: {shown(clouds)}")
    return f"played {drive.num_clouds}, {shown(counts)}, recorded {num_recorded}, all fields"
