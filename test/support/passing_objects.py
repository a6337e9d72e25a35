"""Drives in which a scan sees part of a truck and a person that the scans before it saw too."""

import numpy as np
from tiny_dataset import random_scan, write_scan

from training.data.dataset import ScanFolder
from training.data.instances.cut import cut_instances

TRUCK, PERSON = 4, 6
_RAW_TRUCK, _RAW_PERSON, _RAW_BUILDING = 18, 30, 50


def scan_with_objects(frame):
    """A random scan whose box is a truck of id 7 that moves, and part of whose wall is a person of id 9. Of the truck
    the scan sees a part, so that others add voxels."""
    generator = np.random.default_rng(frame)
    points, raw = random_scan(generator)
    raw[-400:] = _RAW_TRUCK | 7 << 16
    raw[(raw == _RAW_BUILDING) & (np.abs(points[:, 0]) < 1.9)] = _RAW_PERSON | 9 << 16
    is_seen = np.ones(len(points), bool)
    is_seen[-400:] = generator.random(400) < 0.3
    return points[is_seen], raw[is_seen]


def write_drive(root, num_scans, hard_ids):
    """(data set of {sequence: number of scans}, folder of the objects cut out of its training scans) in `root`."""
    for sequence, count in num_scans.items():
        for frame in range(count):
            write_scan(root / "data", sequence, f"{frame:06d}", *scan_with_objects(frame + 10 * int(sequence)))
    cut_instances(ScanFolder(root / "data", "train"), root / "cut", hard_ids)
    return root / "data", root / "cut"
