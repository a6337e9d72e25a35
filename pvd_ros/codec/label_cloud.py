"""Labels alone -> a PointCloud2 of 5 bytes a point, for those who have the cloud itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pvd_ros.codec.encode import FLOAT32, CloudTypes

if TYPE_CHECKING:  # its module imports torch
    from pvd_core.segmenter import Segmentation

_UINT8 = 2
_POINT = np.dtype([("confidence", "<f4"), ("label", "u1")])


def label_cloud(message: Any, segmentation: Segmentation, types: CloudTypes) -> Any:
    """A PointCloud2 of `types` with `confidence` (float32) and `label` (uint8) of each point of `message`, in its
    order, under its header and with its height and width. There are no coordinates: row n belongs to point n."""
    data = types.new_data(_POINT.itemsize * len(segmentation.labels))
    packed = np.frombuffer(data, _POINT)
    packed["confidence"], packed["label"] = segmentation.confidence, segmentation.labels
    return types.cloud(
        header=message.header,
        height=message.height,
        width=message.width,
        fields=[
            types.field(name="confidence", offset=0, datatype=FLOAT32, count=1),
            types.field(name="label", offset=4, datatype=_UINT8, count=1),
        ],
        is_bigendian=False,
        point_step=_POINT.itemsize,
        row_step=_POINT.itemsize * message.width,
        data=data,
        is_dense=True,
    )
