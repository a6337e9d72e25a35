"""Labels clouds with programs of fixed shapes: builds, keeps and drops programs, declines clouds that fit none."""

import logging
import math
from collections import Counter, OrderedDict
from collections.abc import Callable

import numpy as np
import torch

from pvd_core.models import Network
from pvd_core.programs.buckets import Bucket, BucketChooser
from pvd_core.programs.layout import PointLayout
from pvd_core.programs.message import CloudBytes, CloudLayout, rows_of
from pvd_core.programs.pipeline import Answer, FixedPipeline
from pvd_core.programs.static_function import StaticFunction
from pvd_core.programs.transfers import Program

_log = logging.getLogger(__name__)
_MOST_PROGRAMS = 8


class DeviceRunner:
    """To be used by one thread. `counters` has the numbers of programs built and evicted, of clouds that overflowed a
    bucket, of clouds declined, and how often the device's memory did not suffice."""

    def __init__(
        self,
        model: Network,
        device: torch.device,
        precision: str = "fp32",
        is_captured: bool = False,
        make_static: Callable[[FixedPipeline, int, torch.device, bool], StaticFunction[torch.Tensor]] = StaticFunction,
        temperature: float = 1.0,
        brightest: float = math.inf,
    ) -> None:
        """`model` is in evaluation mode on `device`, `precision` is one of PRECISIONS. `is_captured`: programs run as
        CUDA graphs. `make_static` is StaticFunction or a replacement of it. `temperature`: as
        SegmentationOutput takes it. `brightest`: as FixedPipeline takes it."""
        self.counters = Counter(programs=0, evicted=0, overflows=0, declined=0, out_of_memory=0)
        self.buckets = BucketChooser(model.grid, model.strides)
        self._model, self._device, self._precision = model, device, precision
        self._is_captured, self._make_static, self._temperature = is_captured, make_static, temperature
        self._brightest = brightest
        self._programs: OrderedDict[tuple[Bucket, PointLayout, bool], Program] = OrderedDict()

    def label(
        self,
        data: CloudBytes,
        layout: CloudLayout,
        intensity_scale: float = 1.0,
        meanwhile: Callable[[], object] | None = None,
        with_entropy: bool = False,
    ) -> Answer | None:
        """Answer for the bytes of a cloud. None if it was declined and must be labelled without a program: it has too
        many points, too many voxels for two buckets, points too far from each other for the grid of a program, or the
        memory does not suffice. `meanwhile()` is called while the device works, once an attempt; there are at most two.
        ValueError where `data` is too short."""
        point_layout = PointLayout.of(layout.point_step, layout.columns)
        rows_HB, num_points = rows_of(data, layout), layout.height * layout.width
        for _ in range(2):
            bucket = self.buckets.choose(num_points)
            if bucket is None:
                break
            key = bucket, point_layout, with_entropy
            answer = self._attempt(key, rows_HB, num_points, intensity_scale, meanwhile)
            if answer is None:
                self._give_up(bucket)
            elif answer.is_whole:
                return answer
            elif not answer.lies_inside:
                break  # no bucket has another grid
            else:
                self.counters["overflows"] += 1
                self.buckets.overflowed(num_points, bucket)
        self.counters["declined"] += 1
        return None

    def prepare(self, num_points: int, layout: PointLayout) -> Program | None:
        """Builds the program that a cloud of `num_points` points will use; None if there is no bucket for it."""
        bucket = self.buckets.choose(num_points)
        return None if bucket is None else self._program((bucket, layout, False))

    def _attempt(
        self,
        key: tuple[Bucket, PointLayout, bool],
        rows_HB: np.ndarray,
        num_points: int,
        intensity_scale: float,
        meanwhile: Callable[[], object] | None,
    ) -> Answer | None:
        """Answer, or None where the memory does not suffice. Memory of a failed attempt is free when this returns."""
        try:
            program = self._program(key)
            program.start(rows_HB, num_points, intensity_scale)
            if meanwhile is not None:
                meanwhile()
            return program.answer(num_points)
        except RuntimeError as error:
            if not _is_out_of_memory(error):
                raise
            return None

    def _program(self, key: tuple[Bucket, PointLayout, bool]) -> Program:
        """The program for (bucket, layout, whether entropies are wanted)."""
        if key not in self._programs:
            while len(self._programs) >= _MOST_PROGRAMS:
                self._programs.popitem(last=False)
                self.counters["evicted"] += 1
            bucket, layout, with_entropy = key
            pipeline = FixedPipeline(
                self._model, bucket, layout, self._precision, self._temperature, with_entropy, self._brightest
            )
            static = self._make_static(pipeline, pipeline.num_input_bytes, self._device, self._is_captured)
            self._programs[key] = Program(pipeline, static)
            self.counters["programs"] += 1
        self._programs.move_to_end(key)
        return self._programs[key]

    def _give_up(self, bucket: Bucket) -> None:
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


def _is_out_of_memory(error: BaseException | None) -> bool:
    """Whether `error` or one that led to it is: ending a graph's capture fails in another way after it."""
    while error is not None:
        if isinstance(error, torch.cuda.OutOfMemoryError):
            return True
        error = error.__context__
    return False
