"""Labels one message: decode, segment and encode, timed. The node and the bag tools share it."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pvd_ros.codec import CloudTypes, DecodedCloud, decode_data, encode, read_layout

if TYPE_CHECKING:  # its module imports torch
    from pvd_core.segmenter import Segmentation, Segmenter


@dataclass(frozen=True)
class LabelledCloud:
    """`message` is the labelled PointCloud2, ready to publish; `cloud` is the input, decoded.

    timings_ms: milliseconds of decode, the stages of the segmentation, encode, and total.
    """

    message: Any
    cloud: DecodedCloud
    segmentation: Segmentation
    timings_ms: dict[str, float]


class CloudLabeller:
    """Labels PointCloud2 messages of rclpy or rosbags, whichever `types` are of.

    intensity_scale and intensity_field, as `decode` takes them, may be changed between clouds.
    """

    def __init__(
        self, segmenter: Segmenter, types: CloudTypes, intensity_scale: float = 1.0, intensity_field: str = ""
    ) -> None:
        self.segmenter = segmenter
        self.types = types
        self.intensity_scale = intensity_scale
        self.intensity_field = intensity_field

    def label(self, message: Any) -> LabelledCloud:
        """The labelled cloud of `message`, a PointCloud2; MalformedCloudError if the message contradicts itself."""
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

    def _segmented(self, message: Any) -> tuple[DecodedCloud, Segmentation]:
        layout, scale = read_layout(message, self.intensity_field), self.intensity_scale
        # The labelled cloud carries x, y, z and intensity, so the host has to decode in any case. With programs it does
        # so while the device works.
        decoded = functools.cache(lambda: decode_data(message.data, layout, scale))
        if self.segmenter.runs_programs:
            segmentation = self.segmenter.segment_bytes(message.data, layout, scale, meanwhile=decoded)
        else:
            segmentation = self.segmenter.segment(decoded().points)
        return decoded(), segmentation
