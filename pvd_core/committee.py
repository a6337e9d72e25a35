"""Several networks that label together: a point gets the class whose mean log-probability is the highest.

Networks of different families err in different places, so that two may know more than either. N points of a cloud, P
measured ones, C classes.
"""

import functools
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch

from pvd_core.borders.errors import UserError
from pvd_core.borders.wording import counted
from pvd_core.clouds.measured import is_measured, measured_points
from pvd_core.models.output import entropy_of, labels_of
from pvd_core.programs.message import CloudBytes, CloudLayout, points_of_bytes
from pvd_core.segmenter import Segmentation, Segmenter
from pvd_core.weights import check_different

View: TypeAlias = Callable[[np.ndarray], np.ndarray]


class Committee:
    """Segmenters that label together, and do for callers what one of them does. Each counts as much."""

    runs_programs = False

    def __init__(self, members: Sequence[Segmenter], names: Sequence[str | Path] = ()) -> None:
        """UserError, by the `names` of the members, for those that do not label the same scans as the same classes."""
        names = names or [f"network {number + 1}" for number in range(len(members))]
        kinds = [_kind(each) for each in members]
        for name, kind in zip(names, kinds, strict=True):
            if kind != kinds[0]:
                raise UserError(
                    f"{names[0]} labels {kinds[0]} and {name} {kind}: only networks that label the same vote together"
                )
        self.members = tuple(members)
        first = self.members[0]
        self.taxonomy, self.past_scans, self.facts = first.taxonomy, first.past_scans, first.facts
        self.device, self.precision = first.device, first.precision

    @property
    def counters(self) -> dict[str, int]:
        """Those of the members, summed."""
        return dict(sum((Counter(each.counters) for each in self.members), Counter(backend_fallbacks=0)))

    def warm_up(self, num_points: Sequence[int] | None = None) -> None:
        """As Segmenter.warm_up, of each."""
        for each in self.members:
            each.warm_up(num_points)

    def segment(self, points: np.ndarray, with_entropy: bool = False) -> Segmentation:
        """As Segmenter.segment. Confidences are the labels' shares in the geometric mean of probabilities."""
        return self.segment_views(points, (lambda measured: measured,), with_entropy)

    def segment_bytes(
        self,
        data: CloudBytes,
        layout: CloudLayout,
        intensity_scale: float = 1.0,
        meanwhile: Callable[[], object] | None = None,
        with_entropy: bool = False,
    ) -> Segmentation:
        """As Segmenter.segment_bytes, without programs."""
        return self.segment(points_of_bytes(data, layout, intensity_scale), with_entropy)

    @torch.inference_mode()
    def segment_views(self, points: np.ndarray, views: Sequence[View], with_entropy: bool = False) -> Segmentation:
        """As `segment`; each member sees the measured points, float32 (P, 4 or 5), in each of `views`, which change
        where they are but not their order."""
        start = time.perf_counter()
        points = self.members[0].checked(points)
        measured_N = is_measured(points)
        labels, confidence = np.zeros(len(points), np.uint8), np.zeros(len(points), np.float32)
        entropy = np.zeros(len(points), np.float32) if with_entropy else None
        measured = measured_points(points, measured_N)
        if len(measured):
            scores_PC = self._mean_log_probabilities([view(measured) for view in views])
            labels_P, confidence_P = labels_of(scores_PC)
            labels[measured_N], confidence[measured_N] = labels_P.cpu().numpy(), confidence_P.cpu().numpy()
            if entropy is not None:
                entropy[measured_N] = entropy_of(scores_PC).cpu().numpy()
        total_ms = (time.perf_counter() - start) * 1e3
        return Segmentation(labels, confidence, {"network": total_ms, "total": total_ms}, entropy)

    def _mean_log_probabilities(self, views: Sequence[np.ndarray]) -> torch.Tensor:
        """float32 (P, C); of class 0, which nothing gets, 0."""
        of_each = [member.log_probabilities(view) for member in self.members for view in views]
        return torch.nn.functional.pad(functools.reduce(torch.add, of_each) / len(of_each), (1, 0))


AnySegmenter: TypeAlias = Segmenter | Committee


def segmenter_of(
    weights: Sequence[str | Path], device: str = "auto", precision: str = "fp32", programs: str = "auto"
) -> AnySegmenter:
    """The network in a weights file, or the committee of those in several. UserError as Segmenter.from_weights, and
    where they cannot label together."""
    check_different(weights)
    programs = programs if len(weights) == 1 else "off"  # a committee needs more of each than labels
    members = [Segmenter.from_weights(path, device, precision, programs=programs) for path in weights]
    return Committee(members, weights) if len(members) > 1 else members[0]


def _kind(segmenter: Segmenter) -> str:
    past = segmenter.past_scans
    time_of_points = " and the time of points" if past.time else ""
    return f"{segmenter.taxonomy.name} from {counted(past.past, 'past scan')} with stride {past.stride}{time_of_points}"
