"""Sequences of a data set as bags: the frames of a sequence with their stamps, and a bag of them."""

from pathlib import Path

import numpy as np

from pvd_core.borders.errors import UserError
from pvd_core.clouds import read_cloud

# Simulated time starts at 0, which ROS nodes take for "no stamp".
FIRST_STAMP_NS = 1_700_000_000 * 10**9


def sequence_frames(sequence: str | Path) -> list[tuple[Path, Path, int]]:
    """[(path of the scan, path of its labels, stamp in ns)] of a sequence's folder in SemanticKITTI's layout. The label
    file may be missing. UserError where times.txt does not fit the scans."""
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


def write_sequence_bag(sequence: str | Path, bag: str | Path, topic: str) -> int:
    """Writes the scans of a sequence's folder as a new rosbag2 (MCAP) of PointCloud2; returns the number of scans."""
    from pvd_ros.bags import write_scans

    frames = ((read_cloud(scan), stamp_ns) for scan, _, stamp_ns in sequence_frames(sequence))
    return write_scans(bag, frames, topic=topic)
