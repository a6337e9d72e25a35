"""Points in, labels out: the one object that the node, the bag tools, the offline scripts and the benchmark share.

N points of a cloud, P those among them that can be labelled.
"""

import time
from dataclasses import dataclass

import numpy as np
import torch

from pvd_core.errors import UserError
from pvd_core.measured import is_measured, measured_points
from pvd_core.memory import keep_freed_memory
from pvd_core.voxels import voxelise
from pvd_core.weights import load_model

# What the network computes in; sums, norms and probabilities stay in float32.
PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}

_WARM_UP_POINTS = 2000


@dataclass(frozen=True)
class Segmentation:
    labels: np.ndarray  # uint8 (N,): class ids 1..19; 0 for points that are no measurement
    confidence: np.ndarray  # float32 (N,): probability of the label, 0..1; 0 where the label is 0
    timings_ms: dict[str, float]  # stage -> milliseconds: voxelise, network, to_points, total


class Segmenter:
    """Labels every point of a cloud with one of 19 classes.

    A point is no measurement, and gets label 0, when a coordinate is not finite or beyond 10 km, or when x, y, z are
    all exactly 0 (drivers write that for "no return"). Class 0 is never predicted for a measured point.
    """

    def __init__(self, model, facts=None, device="cpu", precision="fp32"):
        check_precision(precision, torch.device(device))
        keep_freed_memory()
        self.precision = precision
        self.model = model.to(device).eval()
        self.facts = facts or {}
        self.device = torch.device(device)

    @classmethod
    def from_weights(cls, path, device="auto", precision="fp32"):
        """`device`: auto, cpu, cuda or cuda:N. Raises UserError for weights that do not load or an absent device."""
        device = resolve_device(device)
        check_precision(precision, device)
        model, facts = load_model(path, device)
        return cls(model, facts, device, precision)

    def warm_up(self):
        """Labels one synthetic cloud, so that the first real one is as fast as the rest."""
        generator = np.random.default_rng(0)
        points = generator.uniform((-40, -40, -2, 0), (40, 40, 1, 1), (_WARM_UP_POINTS, 4))
        self.segment(points.astype(np.float32))

    @torch.inference_mode()
    def run_network(self, batch):
        """SegmentationOutput of a VoxelBatch in this Segmenter's precision, with what its labels need."""
        dtype = PRECISIONS[self.precision]
        with torch.autocast(self.device.type, dtype, enabled=dtype is not None):
            return self.model(batch, with_points=self.model.predicts_from_points)

    @torch.inference_mode()
    def segment(self, points):
        """Segmentation of `points`, float32 (N, 4): x, y, z in metres in the LiDAR's frame (x forward, z up),
        intensity in 0..1. Not-finite intensities count as 0."""
        points = np.ascontiguousarray(points, dtype=np.float32)
        if points.ndim != 2 or points.shape[1] != 4:
            raise ValueError(f"points have shape {points.shape}; expected (N, 4): x, y, z, intensity")
        clock = _StageClock(self.device)
        measured_N = is_measured(points)
        measured = measured_points(points, measured_N)
        batch = voxelise([torch.from_numpy(measured).to(self.device)], self.model.grid)
        clock.end("voxelise")
        output = self.run_network(batch) if len(measured) else None
        clock.end("network")
        labels = np.zeros(len(points), np.uint8)
        confidence = np.zeros(len(points), np.float32)
        if output is not None:
            labels[measured_N], confidence[measured_N] = _labels_of_points(output, batch.point_to_voxel_P)
        clock.end("to_points")
        return Segmentation(labels, confidence, clock.timings_ms())


def check_precision(precision, device):
    """UserError for a precision that `device` does not compute in."""
    if precision not in PRECISIONS:
        raise UserError(f"precision {precision!r}: expected one of {', '.join(PRECISIONS)}")
    if precision == "fp16" and device.type == "cpu":
        raise UserError("precision 'fp16' is for GPUs; take bf16 or fp32 on the CPU")


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


def _labels_of_points(output, point_to_voxel_P):
    """(uint8 labels (P,), float32 confidence (P,)) as NumPy arrays."""
    from_points = output.point_logits_PC is not None
    logits = output.point_logits_PC if from_points else output.voxel_logits_VC
    # Without the "unlabeled" channel the rest is a distribution over real classes.
    confidence, labels = torch.softmax(logits[:, 1:].float(), dim=1).max(dim=1)
    labels = (labels + 1).to(torch.uint8)
    if not from_points:
        labels, confidence = labels[point_to_voxel_P], confidence[point_to_voxel_P]
    return labels.cpu().numpy(), confidence.cpu().numpy()


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
