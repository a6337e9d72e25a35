"""From points to labels: the object that the node, the bag tools, the offline scripts and the benchmark share.

N points of a cloud, P measured ones, which are those that get a class.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np
import torch

from pvd_core.borders.errors import UserError
from pvd_core.clouds.bare import is_bare
from pvd_core.clouds.example import spinning_scan
from pvd_core.clouds.intensity import bounded, brightest
from pvd_core.clouds.measured import is_measured, measured_points
from pvd_core.models.bare_statistics import with_statistics
from pvd_core.models.network import Network
from pvd_core.models.output import SegmentationOutput
from pvd_core.programs import DeviceRunner
from pvd_core.programs.frozen import frozen
from pvd_core.programs.message import ArrayLayout, CloudBytes, CloudLayout, is_bare_message, points_of_bytes
from pvd_core.runtime.memory import keep_freed_memory
from pvd_core.runtime.precision import PRECISIONS, computing_in, resolve_precision
from pvd_core.sparse.backends import reference
from pvd_core.sparse.backends.choose import backend_for
from pvd_core.voxels import VoxelBatch
from pvd_core.weights import load_model, past_scans_of, taxonomy_of, temperature_of
from pvd_core.weights.expected import expected_cloud
from pvd_core.weights.facts import check_time

# How clouds are labelled. `off`: step by step, each cloud at its own size. `eager` and `graphs`: by programs of fixed
# shapes, which run as ordinary code or as CUDA graphs. `auto`: graphs on a GPU whose backend allows them, else off, and
# off for weights that take the time of points.
PROGRAMS = ("auto", "off", "eager", "graphs")

# Clouds with larger points are decoded on the host: every program reserves memory for thousands of points.
_MOST_BYTES_A_POINT = 256

# On a GPU one cloud for each program that 16- to 64-beam sensors need.
_WARM_UP_POINTS = {"cpu": (2000,), "cuda": (22_000, 30_000, 45_000, 60_000, 90_000, 125_000)}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Segmentation:
    labels: np.ndarray  # uint8 (N,): class ids from 1 on; 0 for points that are not measured
    confidence: np.ndarray  # float32 (N,): probability of the label, 0..1; 0 where the label is 0
    timings_ms: dict[str, float]  # stage -> milliseconds: voxelise, network, to_points, total; or program, total
    entropy: np.ndarray | None = None
    """float32 (N,), where it was asked for: entropy of the probabilities, 0 (certain) to 1 (all classes equally
    probable); 0 where the label is 0."""


class Segmenter:
    """Labels every measured point of a cloud with one of the classes of its taxonomy, the others with 0.

    A point is not measured if a coordinate is not finite or beyond 10 km, or if x, y, z are all exactly 0, which
    drivers write for "no return". With programs it is for one thread only.
    """

    def __init__(
        self,
        model: Network,
        facts: Mapping[str, Any] | None = None,
        device: str | torch.device = "cpu",
        precision: str = "fp32",
        backend: str | None = None,
        programs: str = "off",
    ) -> None:
        """`facts`: those of the weights file; without "taxonomy" the classes are SemanticKITTI's. `precision`: auto or
        one of PRECISIONS. `backend`: auto or the name of one; None keeps the model's. `programs`: one of PROGRAMS;
        programs copy the model, so later changes of it have no effect on them. UserError for a choice that is unknown
        or impossible on this device; ValueError for a network of another number of classes."""
        self.precision = resolve_precision(precision, torch.device(device))
        if programs not in PROGRAMS:
            raise UserError(f"programs {programs!r}: expected one of {', '.join(PROGRAMS)}")
        keep_freed_memory()
        self.model = model.to(device).eval()
        self.facts = dict(facts or {})
        self.taxonomy = taxonomy_of(self.facts)
        # It labels what it is given: whoever has scans and poses puts these behind each.
        self.past_scans = past_scans_of(self.facts)
        # Of confidences; labels are the same with any.
        self.temperature = temperature_of(self.facts)
        self._brightest = brightest(expected_cloud(self.facts).intensity_95th)
        if model.config.num_classes != self.taxonomy.num_classes:
            raise ValueError(f"the network has {model.config.num_classes} classes, not those of {self.taxonomy.title}")
        check_time(self.past_scans, model.grid)
        self.device = torch.device(device)
        self._may_fall_back = backend == "auto"
        self._counters = Counter(backend_fallbacks=0)
        if backend is not None:
            self.model.backend = backend_for(backend, self.device)
        # For clouds without intensity, where the weights have statistics of such clouds.
        self._bare_model = with_statistics(self.model, model.bare_statistics) if model.bare_statistics else None
        self._runner = self._runner_for(self.model, programs)
        self._bare_runner = self._runner_for(self._bare_model, programs) if self._bare_model else None

    @classmethod
    def from_weights(
        cls,
        path: str | Path,
        device: str = "auto",
        precision: str = "fp32",
        backend: str = "auto",
        programs: str = "auto",
    ) -> "Segmenter":
        """A Segmenter with the network in a weights file. `device`: auto, cpu, cuda or cuda:N; the rest as in the
        constructor. UserError if the weights do not load or the device is absent."""
        resolved = resolve_device(device)
        precision = resolve_precision(precision, resolved)
        model, facts = load_model(path, resolved)
        return cls(model, facts, resolved, precision, backend, programs)

    @property
    def members(self) -> "tuple[Segmenter, ...]":
        """Itself: as a Committee has them."""
        return (self,)

    @property
    def counters(self) -> dict[str, int]:
        """Since the start: how often the fast path was not taken, and how many programs were built."""
        total = Counter(self._counters)
        for runner in filter(None, (self._runner, self._bare_runner)):
            total.update(runner.counters)
        return dict(total)

    @property
    def runs_programs(self) -> bool:
        """Whether clouds are labelled by programs, which `segment_bytes` gives the bytes of a message undecoded."""
        return self._runner is not None

    def warm_up(self, num_points: Sequence[int] | None = None) -> None:
        """Labels synthetic scans with these numbers of points, by default typical ones, so that the first real scan
        takes no longer than later ones. If the backend that `auto` chose fails here, the reference replaces it; this is
        logged and counted."""
        sizes = num_points or _WARM_UP_POINTS[self.device.type]
        try:
            self._label_examples(sizes)
        # Triton compiles here; its compiler, the driver and kernels that do not fit the GPU raise different errors.
        except Exception as error:
            if not self._may_fall_back or self.model.backend is reference:
                raise
            _log.warning("the sparse engine does not run on %s, the reference takes over: %s", self.device, error)
            self._counters["backend_fallbacks"] += 1
            self._take_the_reference()
            self._label_examples(sizes)

    def batch_of(self, points: np.ndarray) -> VoxelBatch:
        """One scan, voxelised on this Segmenter's device. `points` float32 (P, 4 or 5) as `segment` takes them,
        measured points only."""
        return self._batch_of_bounded(bounded(points, self._brightest))

    def _batch_of_bounded(self, points: np.ndarray) -> VoxelBatch:
        if points.shape[1] == 4:
            points = self.past_scans.aged(points, 0)
        return self.model.grid.voxelise([torch.from_numpy(points).to(self.device)])

    @torch.inference_mode()
    def run_network(self, batch: VoxelBatch) -> SegmentationOutput:
        """The network's output in this Segmenter's precision. The point refinement runs if labels depend on it."""
        return self._run(self.model, batch)

    def segment(self, points: np.ndarray, with_entropy: bool = False) -> Segmentation:
        """Labels `points`, float32 (N, 4): x, y, z in metres in the LiDAR's frame (x forward, z up), intensity in 0..1.
        Intensities that are not finite count as 0, those far beyond the usual as the brightest that is usual. A cloud
        whose intensities are all the same is labelled as one without any, where the weights know how. Where the weights
        take the time of points, also (N, 5): how many scans back each is; in (N, 4) all are of the newest.
        `with_entropy`: also the entropy. ValueError for another shape."""
        points = self.checked(points)
        layout = ArrayLayout(len(points))
        segmentation = self._by_program(points, layout, 1.0, with_entropy=with_entropy)
        return segmentation or self._segment(points, with_entropy)

    def checked(self, points: np.ndarray) -> np.ndarray:
        """`points` as `segment` takes them, contiguous; ValueError for another shape."""
        points = np.ascontiguousarray(points, dtype=np.float32)
        if points.ndim != 2 or points.shape[1] not in (4, 4 + self.past_scans.time):
            expected = "(N, 4): x, y, z, intensity" + (", or (N, 5): scans back" if self.past_scans.time else "")
            raise ValueError(f"points have shape {points.shape}; expected {expected}")
        return points

    @torch.inference_mode()
    def log_probabilities(self, points: np.ndarray) -> torch.Tensor:
        """float32 (P, C - 1), on this Segmenter's device: of all classes but 0, for measured `points` of one scan,
        float32 (P, 4 or 5), P > 0, as `segment` labels them. Without the temperature of the weights."""
        model, points = self._network_for(bounded(points, self._brightest))
        batch = self._batch_of_bounded(points)
        scores_PC = self._run(model, batch).scores_of_points(batch.point_to_voxel_P)
        return scores_PC[:, 1:].float().log_softmax(dim=1)

    def segment_bytes(
        self,
        data: CloudBytes,
        layout: CloudLayout,
        intensity_scale: float = 1.0,
        meanwhile: Callable[[], object] | None = None,
        with_entropy: bool = False,
    ) -> Segmentation:
        """Labels the cloud in the bytes `data` of a message; `layout` says where x, y, z and intensity lie in it.
        Programs decode the bytes on the device. `meanwhile()` is called while the device runs a program: twice if a
        program has to be tried twice, not at all if no program serves. `with_entropy`: also the entropy."""
        if layout.height * layout.width == 0:
            return self.segment(np.zeros((0, 4), np.float32), with_entropy)
        if layout.point_step > _MOST_BYTES_A_POINT:
            return self.segment(points_of_bytes(data, layout, intensity_scale), with_entropy)
        segmentation = self._by_program(data, layout, intensity_scale, meanwhile, with_entropy)
        return segmentation or self._segment(points_of_bytes(data, layout, intensity_scale), with_entropy)

    def _by_program(
        self,
        data: CloudBytes,
        layout: CloudLayout,
        intensity_scale: float,
        meanwhile: Callable[[], object] | None = None,
        with_entropy: bool = False,
    ) -> Segmentation | None:
        """None if programs are off or decline the cloud."""
        if self._runner is None:
            return None
        start = time.perf_counter()
        if self._bare_runner is not None and (
            intensity_scale == 0 or is_bare_message(data, layout, self._brightest / intensity_scale)
        ):
            answer = self._bare_runner.label(data, layout, 0.0, meanwhile, with_entropy)
        else:
            answer = self._runner.label(data, layout, intensity_scale, meanwhile, with_entropy)
        total_ms = (time.perf_counter() - start) * 1e3
        if answer is None:
            return None
        timings_ms = {"program": total_ms, "total": total_ms}
        return Segmentation(answer.labels, answer.confidence, timings_ms, answer.entropy)

    @torch.inference_mode()
    def _segment(self, points: np.ndarray, with_entropy: bool) -> Segmentation:
        clock = _StageClock(self.device)
        measured_N = is_measured(points)
        model, measured = self._network_for(bounded(measured_points(points, measured_N), self._brightest))
        batch = self._batch_of_bounded(measured)
        clock.end("voxelise")
        output = self._run(model, batch) if len(measured) else None
        clock.end("network")
        labels = np.zeros(len(points), np.uint8)
        confidence = np.zeros(len(points), np.float32)
        entropy = np.zeros(len(points), np.float32) if with_entropy else None
        if output is not None:
            labels_P, confidence_P = output.labels_of_points(batch.point_to_voxel_P, self.temperature)
            labels[measured_N], confidence[measured_N] = labels_P.cpu().numpy(), confidence_P.cpu().numpy()
            if entropy is not None:
                entropy_P = output.entropy_of_points(batch.point_to_voxel_P, self.temperature)
                entropy[measured_N] = entropy_P.cpu().numpy()
        clock.end("to_points")
        return Segmentation(labels, confidence, clock.timings_ms(), entropy)

    def _network_for(self, measured: np.ndarray) -> tuple[Network, np.ndarray]:
        """The network for measured points, float32 (P, 4 or 5), and the points as it takes them."""
        if self._bare_model is None or not is_bare(measured):
            return self.model, measured
        bare = measured.copy()
        bare[:, 3] = 0
        return self._bare_model, bare

    def _run(self, model: Network, batch: VoxelBatch) -> SegmentationOutput:
        with computing_in(self.precision, self.device.type):
            return model(batch, with_points=model.predicts_from_points)

    def _take_the_reference(self) -> None:
        for model in filter(None, (self.model, self._bare_model)):
            model.backend = reference
        self._runner = self._bare_runner = None

    def _runner_for(self, model: Network, programs: str) -> DeviceRunner | None:
        waits = getattr(model.backend, "WAITS_FOR_DEVICE", True)
        if self.past_scans.time and programs in ("eager", "graphs"):
            raise UserError(
                f"programs {programs!r}: these weights take the time of points, which programs do not carry; take 'off'"
            )
        if programs == "auto":
            may_run = self.device.type == "cuda" and not waits and not self.past_scans.time
            programs = "graphs" if may_run else "off"
        if programs == "off":
            return None
        if programs == "graphs" and (self.device.type != "cuda" or waits):
            backend = cast(ModuleType, model.backend).__name__.rsplit(".", 1)[-1]
            raise UserError(
                f"programs 'graphs' need a GPU and backend 'triton'; here are {self.device} and "
                f"{backend!r}: take 'eager' or 'off'"
            )
        is_captured = programs == "graphs"
        copy = frozen(model, PRECISIONS[self.precision])
        return DeviceRunner(
            copy, self.device, self.precision, is_captured, temperature=self.temperature, brightest=self._brightest
        )

    def _label_examples(self, sizes: Sequence[int]) -> None:
        for size in sizes:
            self.segment(spinning_scan(size))


def resolve_device(device: str) -> torch.device:
    """The device for auto, cpu, cuda or cuda:N; `auto` is the GPU if there is one. UserError for anything else and for
    an absent GPU."""
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
    """Time of each stage; on a GPU a stage ends when the GPU has finished it."""

    def __init__(self, device: torch.device) -> None:
        self._synchronize: Callable[[], object] = torch.cuda.synchronize if device.type == "cuda" else lambda: None
        self._start = self._last = time.perf_counter()
        self._timings_ms: dict[str, float] = {}

    def end(self, stage: str) -> None:
        self._synchronize()
        now = time.perf_counter()
        self._timings_ms[stage] = (now - self._last) * 1e3
        self._last = now

    def timings_ms(self) -> dict[str, float]:
        return {**self._timings_ms, "total": (self._last - self._start) * 1e3}
