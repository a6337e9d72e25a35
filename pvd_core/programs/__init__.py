"""Programs that label a cloud in steps of fixed shapes, so that nothing waits for the device and a CUDA graph can hold
them."""

from pvd_core.programs.buckets import Bucket, BucketChooser
from pvd_core.programs.layout import XYZI, PointLayout
from pvd_core.programs.pipeline import FixedPipeline
from pvd_core.programs.runner import DeviceRunner

__all__ = ["XYZI", "Bucket", "BucketChooser", "DeviceRunner", "FixedPipeline", "PointLayout"]
