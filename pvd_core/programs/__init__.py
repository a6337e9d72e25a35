"""From the bytes of a cloud to its labels in steps of fixed shapes, none of which waits for the device."""

from pvd_core.programs.buckets import Bucket, BucketChooser
from pvd_core.programs.layout import XYZI, PointLayout
from pvd_core.programs.pipeline import FixedPipeline
from pvd_core.programs.runner import DeviceRunner

__all__ = ["XYZI", "Bucket", "BucketChooser", "DeviceRunner", "FixedPipeline", "PointLayout"]
