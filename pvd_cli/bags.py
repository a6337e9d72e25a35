"""Between data sets and bags: a sequence of scans as a bag, and the truth of a bag's clouds by their stamps."""

from pathlib import Path

import numpy as np

from pvd_core.borders.errors import UserError
from pvd_core.clouds import read_cloud

# Simulated time starts at 0, which ROS nodes take for "no stamp".
FIRST_STAMP_NS = 1_700_000_000 * 10**9


def sequence_frames(sequence):
    """[(scan path, label path, stamp in ns)] of a folder in SemanticKITTI's layout."""
    sequence = Path(sequence)
    scans = sorted((sequence / "velodyne").glob("*.bin"))
    try:
        times_s = np.loadtxt(sequence / "times.txt", dtype=np.float64, ndmin=1)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{sequence / 'times.txt'} cannot be read: {error}; expected one stamp in seconds a line"
        ) from None
    frames = []
    for scan in scans:
        if not scan.stem.isdigit() or int(scan.stem) >= len(times_s):
            raise UserError(f"{scan}: no line for this scan among the {len(times_s)} of {sequence / 'times.txt'}")
        stamp_ns = FIRST_STAMP_NS + round(float(times_s[int(scan.stem)]) * 1e9)
        frames.append((scan, sequence / "labels" / f"{scan.stem}.label", stamp_ns))
    return frames


def write_sequence_bag(sequence, bag, topic):
    """Writes the scans of a sequence as a rosbag2 (MCAP) of PointCloud2; returns how many there were."""
    from pvd_ros.bags import write_scans

    frames = ((read_cloud(scan), stamp_ns) for scan, _, stamp_ns in sequence_frames(sequence))
    return write_scans(bag, frames, topic=topic)
