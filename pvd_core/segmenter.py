"""Points in, labels out: the one object that the node, the bag tools, the offline scripts and the benchmark share.

N points of a cloud, P those among them that can be labelled.
"""

import logging
import time
from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch

from pvd_core.borders.errors import UserError
from pvd_core.clouds.example import spinning_scan
from pvd_core.clouds.measured import is_measured, measured_points
from pvd_core.programs import DeviceRunner
from pvd_core.programs.frozen import frozen
from pvd_core.programs.message import ArrayLayout, points_of_bytes
from pvd_core.runtime.memory import keep_freed_memory
from pvd_core.runtime.precision import PRECISIONS, computing_in, resolve_precision
from pvd_core.sparse.backends import reference
from pvd_core.sparse.backends.choose import backend_for
from pvd_core.voxels import voxelise
from pvd_core.weights import load_model

# How clouds are labelled: `off` at their own size, step by step; `eager` and `graphs` by programs of fixed shapes, run
# as they are or as CUDA graphs; `auto` by graphs on a GPU whose backend allows it, else `off`.
PROGRAMS = ("auto", "off", "eager", "graphs")

# Points that take more bytes are decoded on the host: there is room for thousands of points in every program.
_MOST_BYTES_A_POINT = 256

# One size for every program that 16- to 64-beam sensors use.
_WARM_UP_POINTS = {"cpu": (2000,), "cuda": (22_000, 30_000, 45_000, 60_000, 90_000, 125_000)}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Segmentation:
    labels: np.ndarray  # uint8 (N,): class ids 1..19; 0 for points that are no measurement
    confidence: np.ndarray  # float32 (N,): probability of the label, 0..1; 0 where the label is 0
    timings_ms: dict[str, float]  # stage -> milliseconds: voxelise, network, to_points, total; or program, total


class Segmenter:
    """Labels every point of a cloud with one of 19 classes.

    A point is no measurement, and gets label 0, when a coordinate is not finite or beyond 10 km, or when x, y, z are
    all exactly 0 (drivers write that for "no return"). Class 0 is never predicted for a measured point.
    """

    def __init__(self, model, facts=None, device="cpu", precision="fp32", backend=None, programs="off"):
        """`backend`: auto or the name of one; None leaves the model its own. `programs`: one of PROGRAMS; other than
        `off` they see the model as it is now."""
        self.precision = resolve_precision(precision, torch.device(device))
        if programs not in PROGRAMS:
            raise UserError(f"programs {programs!r}: expected one of {', '.join(PROGRAMS)}")
        keep_freed_memory()
        self.model = model.to(device).eval()
        self.facts = facts or {}
        self.device = torch.device(device)
        self._may_fall_back = backend == "auto"
        self._counters = Counter(backend_fallbacks=0)
        if backend is not None:
            self.model.backend = backend_for(backend, self.device)
        self._runner = self._runner_for(programs)

    @classmethod
    def from_weights(cls, path, device="auto", precision="fp32", backend="auto", programs="auto"):
        """`device`: auto, cpu, cuda or cuda:N. Raises UserError for weights that do not load or an absent device."""
        device = resolve_device(device)
        precision = resolve_precision(precision, device)
        model, facts = load_model(path, device)
        return cls(model, facts, device, precision, backend, programs)

    @property
    def counters(self):
        """What did not go the fast way, and programs: a dictionary of numbers since the start."""
        return {**self._counters, **(self._runner.counters if self._runner else {})}

    @property
    def runs_programs(self):
        """Whether clouds are labelled by programs, which take the bytes of a message as they are (`segment_bytes`)."""
        return self._runner is not None

    def warm_up(self, num_points=None):
        """Labels synthetic scans of the sizes `num_points` (by default those that this device is expected to see), so
        that the first real one is as fast as the rest. A backend that `auto` chose and that does not run here is
        replaced by the reference, once, with a message."""
        sizes = num_points or _WARM_UP_POINTS[self.device.type]
        try:
            self._label_examples(sizes)
        # Triton compiles here: compilers, drivers and kernels that do not fit the GPU fail each in their own way.
        except Exception as error:
            if not self._may_fall_back or self.model.backend is reference:
                raise
            _log.warning("the sparse engine does not run on %s, the reference takes over: %s", self.device, error)
            self._counters["backend_fallbacks"] += 1
            self.model.backend, self._runner = reference, None
            self._label_examples(sizes)

    def batch_of(self, points):
        """VoxelBatch of the measured points of one scan, float32 (P, 4), on this Segmenter's device."""
        return voxelise([torch.from_numpy(points).to(self.device)], self.model.grid)

    @torch.inference_mode()
    def run_network(self, batch):
        """SegmentationOutput of a VoxelBatch in this Segmenter's precision, with what its labels need."""
        with computing_in(self.precision, self.device.type):
            return self.model(batch, with_points=self.model.predicts_from_points)

    def segment(self, points):
        """Segmentation of `points`, float32 (N, 4): x, y, z in metres in the LiDAR's frame (x forward, z up),
        intensity in 0..1. Not-finite intensities count as 0."""
        points = np.ascontiguousarray(points, dtype=np.float32)
        if points.ndim != 2 or points.shape[1] != 4:
            raise ValueError(f"points have shape {points.shape}; expected (N, 4): x, y, z, intensity")
        return self._by_program(points, ArrayLayout(len(points)), 1.0) or self._segment(points)

    def segment_bytes(self, data, layout, intensity_scale=1.0, meanwhile=None):
        """Segmentation of a cloud as a sensor's message carries it: `data`, a buffer of bytes, in which `layout` (as
        pvd_ros.codec.read_layout gives it) finds x, y, z and intensity; on a GPU they are decoded there.
        `meanwhile()` is called while the device works, again for a second attempt, never where no program serves."""
        if layout.height * layout.width == 0:
            return self.segment(np.zeros((0, 4), np.float32))
        if layout.point_step > _MOST_BYTES_A_POINT:
            return self.segment(points_of_bytes(data, layout, intensity_scale))
        segmentation = self._by_program(data, layout, intensity_scale, meanwhile)
        return segmentation or self._segment(points_of_bytes(data, layout, intensity_scale))

    def _by_program(self, data, layout, intensity_scale, meanwhile=None):
        """Segmentation, or None where programs are off or decline the cloud."""
        if self._runner is None:
            return None
        start = time.perf_counter()
        answer = self._runner.label(data, layout, intensity_scale, meanwhile)
        total_ms = (time.perf_counter() - start) * 1e3
        return answer and Segmentation(answer.labels, answer.confidence, {"program": total_ms, "total": total_ms})

    @torch.inference_mode()
    def _segment(self, points):
        clock = _StageClock(self.device)
        measured_N = is_measured(points)
        measured = measured_points(points, measured_N)
        batch = self.batch_of(measured)
        clock.end("voxelise")
        output = self.run_network(batch) if len(measured) else None
        clock.end("network")
        labels = np.zeros(len(points), np.uint8)
        confidence = np.zeros(len(points), np.float32)
        if output is not None:
            labels_P, confidence_P = output.labels_of_points(batch.point_to_voxel_P)
            labels[measured_N], confidence[measured_N] = labels_P.cpu().numpy(), confidence_P.cpu().numpy()
        clock.end("to_points")
        return Segmentation(labels, confidence, clock.timings_ms())

    def _runner_for(self, programs):
        waits = getattr(self.model.backend, "WAITS_FOR_DEVICE", True)
        if programs == "auto":
            programs = "graphs" if self.device.type == "cuda" and not waits else "off"
        if programs == "off":
            return None
        if programs == "graphs" and (self.device.type != "cuda" or waits):
            raise UserError(
                f"programs 'graphs' need a GPU and backend 'triton'; here are {self.device} and "
                f"{self.model.backend.__name__.rsplit('.', 1)[-1]!r}: take 'eager' or 'off'"
            )
        model = frozen(self.model, PRECISIONS[self.precision])
        return DeviceRunner(model, self.device, self.precision, is_captured=programs == "graphs")

    def _label_examples(self, sizes):
        for size in sizes:
            self.segment(spinning_scan(size))


def resolve_device(device):
    """torch.device of a name; `auto` takes the GPU when there is one."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        raise UserError(f"device {device!r}: expected auto, cpu, cuda or cuda:N") from error
    if resolved.type not in ("cpu", "cuda"):
        raise UserError(f"device {device!r}: expected auto, cpu, cuda or cuda:N")
    if resolved.type == "cuda" and (resolved.index or 0) >= torch.cuda.device_count():
        raise UserError(f"device {device!r}: torch sees {torch.cuda.device_count()} GPUs here; use cpu or auto")
    return resolved


class _StageClock:
    def __init__(self, device):
        self._synchronize = torch.cuda.synchronize if device.type == "cuda" else lambda: None
        self._start = self._last = time.perf_counter()
        self._timings_ms = {}

    def end(self, stage):
        self._synchronize()
        now = time.perf_counter()
        self._timings_ms[stage] = (now - self._last) * 1e3
        self._last = now

    def timings_ms(self):
        return {**self._timings_ms, "total": (self._last - self._start) * 1e3}
