"""Labels one message: decode, segment and encode, timed. The node and the bag tools share it."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from pvd_core.borders.errors import TooWideError
from pvd_core.clouds.stream import CloudStream
from pvd_ros.codec import (
    CloudLayout,
    CloudTypes,
    DecodedCloud,
    MalformedCloudError,
    decode_data,
    encode,
    read_layout,
    stamp_of,
)
from pvd_ros.poses import CloudHistory

if TYPE_CHECKING:  # its module imports torch
    from pvd_core.committee import AnySegmenter
    from pvd_core.segmenter import Segmentation


@dataclass(frozen=True)
class LabelledCloud:
    """`message` is the labelled PointCloud2, ready to publish, or what else the labeller's encoder makes; `header` is
    the input's, and `cloud` the input, decoded.

    timings_ms: milliseconds of decode, the stages of the segmentation, encode, and total. stream: that it belongs to.
    note: a sentence if this cloud decided how intensity is scaled from here on, else "".
    """

    message: Any
    header: Any
    cloud: DecodedCloud
    segmentation: Segmentation
    timings_ms: dict[str, float]
    stream: CloudStream
    note: str = ""


class Cropper(Protocol):
    """What says which points of a cloud are not to be labelled."""

    @property
    def crops(self) -> bool:
        """Whether there may be any."""

    def is_cropped(self, points: np.ndarray, frame: str) -> np.ndarray | None:
        """bool (N,) for `points`, float32 (N, 4) as received in the frame `frame`; None for none."""


class CloudLabeller:
    """Labels PointCloud2 messages of rclpy or rosbags, whichever `types` are of.

    stream, which brings clouds to the network's frame, and intensity_field, as `decode` takes it, may be changed
    between clouds. So may with_entropy, whether labelled clouds have the field `entropy`. history: puts past clouds
    behind each before it is segmented; None labels each alone. encoder: makes the result of a cloud, with the arguments
    of `encode`. cropper: says which points are not to be labelled; these get label 0.
    """

    def __init__(
        self,
        segmenter: AnySegmenter,
        types: CloudTypes,
        stream: CloudStream | None = None,
        intensity_field: str = "",
        history: CloudHistory | None = None,
        with_entropy: bool = False,
        encoder: Callable[..., Any] = encode,
        cropper: Cropper | None = None,
    ) -> None:
        self.segmenter = segmenter
        self.types = types
        self.stream = stream or CloudStream()
        self.intensity_field = intensity_field
        self.history = history
        self.with_entropy = with_entropy
        self._encoder = encoder
        self._cropper = cropper

    def label(self, message: Any) -> LabelledCloud:
        """The labelled cloud of `message`, a PointCloud2; MalformedCloudError if the message contradicts itself, or
        reaches so far that the network cannot label it."""
        start, stream = time.perf_counter(), self.stream
        try:
            cloud, segmentation, note = self._segmented(message, stream)
        except TooWideError as error:
            raise MalformedCloudError("too_wide", str(error)) from error
        segmented = time.perf_counter()
        taxonomy = self.segmenter.taxonomy
        output = self._encoder(message, cloud, segmentation, self.types, taxonomy, segmentation.entropy)
        end = time.perf_counter()
        stages = {name: ms for name, ms in segmentation.timings_ms.items() if name != "total"}
        timings_ms = {
            "decode": 1e3 * (segmented - start) - segmentation.timings_ms["total"],
            **stages,
            "encode": 1e3 * (end - segmented),
            "total": 1e3 * (end - start),
        }
        return LabelledCloud(output, message.header, cloud, segmentation, timings_ms, stream, note)

    def pass_over(self, message: Any) -> None:
        """Takes what later clouds need from one that need not be labelled (again): the automatic intensity scale may be
        decided by it, and it is a past cloud."""
        layout = read_layout(message, self.intensity_field)
        self._decide(self.stream, message, layout)
        if self.history is not None:
            self._fused(self.history, decode_data(message.data, layout), message)

    @property
    def num_past(self) -> int:
        """How many of the last clouds may be put behind the next one."""
        return self.history.past.farthest if self.history is not None else 0

    def remember(self, message: Any) -> None:
        """Takes a cloud that is not labelled as a past one of later clouds."""
        if self.history is not None:
            cloud = decode_data(message.data, read_layout(message, self.intensity_field))
            self.history.keep(*self._received(cloud, message))

    def remarks_on(self, labelled: LabelledCloud) -> list[str]:
        """Sentences on what is said for the first time of the clouds that come here. Judges clouds that differ, and
        one now and then, for that takes some milliseconds; to be asked after each cloud."""
        cloud, frame = labelled.cloud, labelled.header.frame_id
        found = self.history.new_remarks() if self.history is not None else []
        return found + labelled.stream.look_if_due(cloud.raw_points, cloud.layout.other_fields, frame)

    def _segmented(self, message: Any, stream: CloudStream) -> tuple[DecodedCloud, Segmentation, str]:
        layout = read_layout(message, self.intensity_field)
        note = self._decide(stream, message, layout)
        scale, mounting = stream.factor, stream.mounting
        # The labelled cloud carries x, y, z and intensity, so the host has to decode in any case. With programs it does
        # so while the device works.
        decoded = functools.cache(lambda: decode_data(message.data, layout, scale))
        if self.history is not None:
            segmentation = self._segmented_with_past(self.history, decoded(), message, stream)
        # Programs decode on the device, but know no mounting and no crop.
        elif self.segmenter.runs_programs and mounting.is_usual and not (self._cropper and self._cropper.crops):
            segmentation = self.segmenter.segment_bytes(message.data, layout, scale, decoded, self.with_entropy)
        else:
            points = self._without_cropped(decoded().points, message.header.frame_id)
            segmentation = self.segmenter.segment(mounting.apply(points), self.with_entropy)
        return decoded(), segmentation, note

    def _segmented_with_past(
        self, history: CloudHistory, cloud: DecodedCloud, message: Any, stream: CloudStream
    ) -> Segmentation:
        """The segmentation of the cloud's own points, with past clouds behind them; "history" is a stage of it."""
        start = time.perf_counter()
        points = stream.prepared(self._fused(history, cloud, message))
        spent_ms = 1e3 * (time.perf_counter() - start)
        whole = self.segmenter.segment(points, self.with_entropy)
        # Each array has a row for each point.
        own = {
            name: value[: cloud.layout.num_points]
            for name, value in vars(whole).items()
            if isinstance(value, np.ndarray)
        }
        timings_ms = {"history": spent_ms, **whole.timings_ms, "total": spent_ms + whole.timings_ms["total"]}
        return dataclasses.replace(whole, **own, timings_ms=timings_ms)

    def _fused(self, history: CloudHistory, cloud: DecodedCloud, message: Any) -> np.ndarray:
        return history.fuse(*self._received(cloud, message))

    def _received(self, cloud: DecodedCloud, message: Any) -> tuple[np.ndarray, int, str]:
        """(points, stamp, frame) for a history: points as received, because the scale of intensities may change."""
        frame = message.header.frame_id
        return self._without_cropped(cloud.raw_points, frame), stamp_of(message), frame

    def _without_cropped(self, points: np.ndarray, frame: str) -> np.ndarray:
        """`points`, of which the cropped ones are no measurements any more; themselves where there are none."""
        cropped = self._cropper.is_cropped(points, frame) if self._cropper else None
        if cropped is None or not cropped.any():
            return points
        points = points.copy()
        points[cropped, :3] = np.nan
        return points

    def _decide(self, stream: CloudStream, message: Any, layout: CloudLayout) -> str:
        """Lets an automatic intensity scale be decided by the cloud; a sentence if it was, else ""."""
        if stream.is_decided or layout.intensity_field is None:
            return ""
        return stream.decide(decode_data(message.data, layout).raw_points)
