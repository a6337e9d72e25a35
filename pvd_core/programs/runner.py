"""Labels clouds with programs of fixed shapes: builds, keeps and drops them, declines clouds they cannot serve."""

import logging
from collections import Counter, OrderedDict

import torch

from pvd_core.models.backbone import STRIDES
from pvd_core.programs.buckets import BucketChooser
from pvd_core.programs.layout import PointLayout
from pvd_core.programs.pipeline import FixedPipeline
from pvd_core.programs.static_function import StaticFunction
from pvd_core.programs.transfers import Program, rows_of

_log = logging.getLogger(__name__)
_MOST_PROGRAMS = 8


class DeviceRunner:
    """For one thread. `model` is in evaluation mode on `device`, `precision` one of PRECISIONS, `is_captured` runs
    programs as CUDA graphs. `make_static` is StaticFunction or stands in for it.

    `counters`: programs built and evicted, clouds that overflowed a bucket, clouds left to others ("declined"), times
    that the device's memory did not suffice.
    """

    def __init__(self, model, device, precision="fp32", is_captured=False, make_static=StaticFunction):
        self.counters = Counter(programs=0, evicted=0, overflows=0, declined=0, out_of_memory=0)
        self.buckets = BucketChooser(model.grid.shape, STRIDES)
        self._model, self._device, self._precision = model, device, precision
        self._is_captured, self._make_static = is_captured, make_static
        self._programs = OrderedDict()

    def label(self, data, layout, intensity_scale=1.0, meanwhile=None):
        """Answer for the bytes `data` of a cloud, or None where it must be labelled without a bucket: it is too large,
        has too many voxels twice, or the memory does not suffice. `layout` has height, width, point_step, row_step and
        `columns`, a dictionary of role -> (byte offset, NumPy dtype). `meanwhile()`, if given, is called while the
        device works, once an attempt."""
        point_layout = PointLayout.of(layout.point_step, layout.columns)
        rows_HB, num_points = rows_of(data, layout), layout.height * layout.width
        for _ in range(2):
            bucket = self.buckets.choose(num_points)
            if bucket is None:
                break
            answer = self._attempt(bucket, point_layout, rows_HB, num_points, intensity_scale, meanwhile)
            if answer is None:
                self._give_up(bucket)
            elif answer.is_whole:
                return answer
            else:
                self.counters["overflows"] += 1
                self.buckets.overflowed(num_points, bucket)
        self.counters["declined"] += 1
        return None

    def prepare(self, num_points, layout):
        """Builds the program that a cloud of so many points of a PointLayout will use; None where there is none."""
        bucket = self.buckets.choose(num_points)
        return bucket and self._program(bucket, layout)

    def _attempt(self, bucket, layout, rows_HB, num_points, intensity_scale, meanwhile):
        """Answer, or None where the memory does not suffice. What was tried is freed when this returns."""
        try:
            program = self._program(bucket, layout)
            program.start(rows_HB, num_points, intensity_scale)
            if meanwhile is not None:
                meanwhile()
            return program.answer(num_points)
        except RuntimeError as error:
            if not _is_out_of_memory(error):
                raise
            return None

    def _program(self, bucket, layout):
        key = bucket, layout
        if key not in self._programs:
            while len(self._programs) >= _MOST_PROGRAMS:
                self._programs.popitem(last=False)
                self.counters["evicted"] += 1
            pipeline = FixedPipeline(self._model, bucket, layout, self._precision)
            static = self._make_static(pipeline, pipeline.num_input_bytes, self._device, self._is_captured)
            self._programs[key] = Program(pipeline, static)
            self.counters["programs"] += 1
        self._programs.move_to_end(key)
        return self._programs[key]

    def _give_up(self, bucket):
        if self.counters["out_of_memory"] == 0:
            _log.warning(
                "no memory on %s for clouds of %d points with room to spare: such clouds take a smaller bucket, or are "
                "labelled one by one at their own size, which is slower",
                self._device,
                bucket.num_points,
            )
        self.counters["out_of_memory"] += 1
        self.buckets.does_not_fit_the_device(bucket)
        self._programs.clear()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()


def _is_out_of_memory(error):
    """Also where the end of a graph's capture failed because of it."""
    while error is not None:
        if isinstance(error, torch.cuda.OutOfMemoryError):
            return True
        error = error.__context__
    return False
