"""One message through decode, segment and encode, timed: the same path for the node and for bags."""

from __future__ import annotations

import time
from dataclasses import dataclass

from pvd_ros.codec import CloudTypes, DecodedCloud, decode, encode


@dataclass(frozen=True)
class LabelledCloud:
    """`message` is ready to publish. timings_ms: decode, voxelise, network, to_points, encode, total."""

    message: object
    cloud: DecodedCloud
    segmentation: object
    timings_ms: dict[str, float]


class CloudLabeller:
    """Labels PointCloud2 messages of one ROS binding. The intensity settings may be changed between clouds."""

    def __init__(self, segmenter, types: CloudTypes, intensity_scale: float = 1.0, intensity_field: str = ""):
        self.segmenter = segmenter
        self.types = types
        self.intensity_scale = intensity_scale
        self.intensity_field = intensity_field

    def label(self, message) -> LabelledCloud:
        """MalformedCloudError where the message cannot be trusted."""
        start = time.perf_counter()
        cloud = decode(message, self.intensity_scale, self.intensity_field)
        decoded = time.perf_counter()
        segmentation = self.segmenter.segment(cloud.points)
        segmented = time.perf_counter()
        output = encode(message, cloud, segmentation, self.types)
        end = time.perf_counter()
        stages = {name: ms for name, ms in segmentation.timings_ms.items() if name != "total"}
        timings_ms = {
            "decode": 1e3 * (decoded - start),
            **stages,
            "encode": 1e3 * (end - segmented),
            "total": 1e3 * (end - start),
        }
        return LabelledCloud(output, cloud, segmentation, timings_ms)
