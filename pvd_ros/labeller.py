"""One message through decode, segment and encode, timed: the same path for the node and for bags."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass

from pvd_ros.codec import CloudTypes, DecodedCloud, decode_data, encode, read_layout


@dataclass(frozen=True)
class LabelledCloud:
    """`message` is ready to publish. timings_ms: decode, the stages of the segmentation, encode, total."""

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
        cloud, segmentation = self._segmented(message)
        segmented = time.perf_counter()
        output = encode(message, cloud, segmentation, self.types)
        end = time.perf_counter()
        stages = {name: ms for name, ms in segmentation.timings_ms.items() if name != "total"}
        timings_ms = {
            "decode": 1e3 * (segmented - start) - segmentation.timings_ms["total"],
            **stages,
            "encode": 1e3 * (end - segmented),
            "total": 1e3 * (end - start),
        }
        return LabelledCloud(output, cloud, segmentation, timings_ms)

    def _segmented(self, message) -> tuple[DecodedCloud, object]:
        layout, scale = read_layout(message, self.intensity_field), self.intensity_scale
        # The labelled cloud carries x, y, z and intensity, so the host decodes in any case: programs leave it the time
        # in which the device works.
        decoded = functools.cache(lambda: decode_data(message.data, layout, scale))
        if self.segmenter.runs_programs:
            segmentation = self.segmenter.segment_bytes(message.data, layout, scale, meanwhile=decoded)
        else:
            segmentation = self.segmenter.segment(decoded().points)
        return decoded(), segmentation
