"""How long clouds take from message to points and from labels to message, beside the straightforward way.

  python -m scripts.codec --points 120000 --json codec.json

The straightforward way reads a record a point, copies field after field and writes records again. Both take turns.
"""

import argparse
import json
import statistics
import sys
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sensor_msgs.msg import PointCloud2, PointField

from pvd_core.runtime.hardware import cpu_name
from pvd_core.runtime.memory import keep_freed_memory
from pvd_core.segmenter import Segmentation
from pvd_core.taxonomy import SEMANTICKITTI
from pvd_ros.codec import decode, encode, rclpy_cloud_types
from pvd_ros.codec.encode import OUTPUT_FIELDS

# What an Ouster or Velodyne driver sends.
_SENT = np.dtype(
    {
        "names": ["x", "y", "z", "intensity", "ring", "time"],
        "formats": ["<f4", "<f4", "<f4", "<f4", "<u2", "<f4"],
        "offsets": [0, 4, 8, 12, 16, 18],
        "itemsize": 22,
    }
)
_DATATYPES = {"<f4": PointField.FLOAT32, "<u2": PointField.UINT16, "<u4": PointField.UINT32}
_WRITTEN = np.dtype([(name, "<u4" if name in ("rgb", "label") else "<f4") for name, _, _ in OUTPUT_FIELDS])


def main() -> int:
    options = _options()
    keep_freed_memory()  # as the node does
    message, segmentation = _cloud(options.points)
    ways: dict[str, Callable[..., Any]] = {"pvd_ros": _ours, "per field": _per_field}
    ours, theirs = (bytes(way(message, segmentation)[1].data) for way in ways.values())
    assert ours == theirs
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(options.runs):
        for name, way in ways.items():
            start = time.perf_counter()
            decoded = way(message, segmentation)[0]
            samples[name].append(((decoded - start) * 1e3, (time.perf_counter() - decoded) * 1e3))
    rows = [_row(name, taken) for name, taken in samples.items()]
    figures = {"points": options.points, "runs": options.runs, "rows": rows, "cpu": cpu_name()}
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    if options.markdown:
        options.markdown.write_text(_markdown(figures))
    print(_markdown(figures))
    return 0


def _cloud(num_points: int) -> tuple[PointCloud2, Segmentation]:
    """A message of a sensor, and labels for it."""
    generator = np.random.default_rng(0)
    records = np.zeros(num_points, _SENT)
    for name in ("x", "y", "z", "intensity"):
        records[name] = generator.normal(0, 20, num_points)
    message = _message(PointCloud2(), records)
    labels = generator.integers(1, SEMANTICKITTI.num_classes, num_points).astype(np.uint8)
    return message, Segmentation(labels, generator.random(num_points, np.float32), {})


def _ours(message: PointCloud2, segmentation: Segmentation) -> tuple[float, PointCloud2]:
    """(when the points were there, the labelled message)."""
    cloud = decode(message)
    decoded = time.perf_counter()
    return decoded, encode(message, cloud, segmentation, rclpy_cloud_types(), SEMANTICKITTI)


def _per_field(message: PointCloud2, segmentation: Segmentation) -> tuple[float, PointCloud2]:
    """As `_ours`."""
    sent = np.frombuffer(message.data, _SENT)
    points = np.stack([sent[name] for name in ("x", "y", "z", "intensity")], axis=1)
    decoded = time.perf_counter()
    records = np.zeros(len(points), _WRITTEN)
    for column, name in enumerate(("x", "y", "z", "intensity")):
        records[name] = points[:, column]
    red, green, blue = SEMANTICKITTI.colours[segmentation.labels].astype(np.uint32).T
    records["rgb"] = red << 16 | green << 8 | blue
    records["confidence"] = segmentation.confidence
    records["label"] = segmentation.labels
    return decoded, _message(message, records)


def _message(like: PointCloud2, records: np.ndarray) -> PointCloud2:
    """The records as a message with the header of `like`."""
    names = records.dtype.names or ()
    kinds = [records.dtype[name].str for name in names]
    offsets = [(records.dtype.fields or {})[name][1] for name in names]
    fields = [
        PointField(name=name, offset=offset, datatype=_DATATYPES[kind], count=1)
        for name, offset, kind in zip(names, offsets, kinds, strict=True)
    ]
    step = records.dtype.itemsize
    data = array("B", records.tobytes())
    return PointCloud2(
        header=like.header,
        height=1,
        width=len(records),
        fields=fields,
        point_step=step,
        row_step=step * len(records),
        data=data,
    )


def _row(name: str, samples: list[tuple[float, float]]) -> dict[str, Any]:
    decode_ms, encode_ms = zip(*samples, strict=True)
    return {
        "way": name,
        "decode_ms": statistics.median(decode_ms),
        "encode_ms": statistics.median(encode_ms),
        "together_ms": statistics.median(map(sum, samples)),
    }


def _markdown(figures: dict[str, Any]) -> str:
    lines = [
        f"Median of {figures['runs']} runs in turns, one thread, clouds of {figures['points']:,} points "
        f"({figures['cpu']}).",
        "",
        "| way | decode, ms | encode, ms | together, ms |",
        "|---|---:|---:|---:|",
    ]
    lines += [
        f"| {row['way']} | {row['decode_ms']:.2f} | {row['encode_ms']:.2f} | {row['together_ms']:.2f} |"
        for row in figures["rows"]
    ]
    return "\n".join(lines) + "\n"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scripts.codec", description="Times the cloud codec.")
    parser.add_argument("--points", type=int, default=120_000, help="points of a cloud")
    parser.add_argument("--runs", type=int, default=100, help="samples of each way")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--markdown", type=Path, help="file for the figures as a table")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
