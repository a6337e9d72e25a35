"""Fleets of small bags for the tests, and what must be true of them once they are labelled."""

import json

from bags import clouds_of, write_drive

from pvd_ros.bags import LabelOptions, read_clouds
from pvd_ros.fleet import LabelSettings
from pvd_ros.fleet.task import digest_of


def write_fleet(folder, num_bags, num_clouds=3, num_points=300):
    """Bags of the same names in two folders."""
    for number in range(num_bags):
        write_drive(folder / f"day{number % 2}" / f"drive{number // 2}", clouds_of(num_clouds, num_points))
    return folder


def settings_with(*weights, **options):
    return LabelSettings(weights, digest_of(weights), LabelOptions(**options), device="cpu")


def assert_whole(out, num_bags, num_clouds=3):
    """Each bag is there once, with all its clouds labelled, nothing half is left, and the records agree."""
    bags = sorted(path.parent for path in out.rglob("metadata.yaml"))
    assert len(bags) == num_bags
    for bag in bags:
        assert len(list(read_clouds(bag, "/lidar/labelled"))) == num_clouds
        record = json.loads((out / ".label_bags" / f"{bag.relative_to(out)}.json").read_text())
        assert (record["status"], record["labelled"]) == ("labelled", num_clouds)
    assert not list(out.rglob(".*.unfinished")) + list(out.rglob(".*.earlier"))
