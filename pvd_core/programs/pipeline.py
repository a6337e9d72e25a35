"""Labelling a cloud as one function of fixed shapes, from its bytes to the bytes of its labels, that never waits for
the device.

P points that there is room for, L levels, B bytes. Input: num_points int32, intensity_scale float32, 8 unused bytes,
then P points of `layout`. Output: whether the grid holds all points, and the number of sites of each level, int32, in
32 bytes, then P confidences, float32, then P entropies, float32, where they are wanted, then P labels, uint8.
"""

import math
import operator
from dataclasses import dataclass

import numpy as np
import torch

from pvd_core.clouds.measured import is_measured
from pvd_core.models import Network
from pvd_core.programs.buckets import Bucket
from pvd_core.programs.decode import decode_points
from pvd_core.programs.fixed_voxels import fixed_voxels
from pvd_core.programs.layout import PointLayout
from pvd_core.runtime.precision import computing_in

HEADER_BYTES = 16
_COUNTER_BYTES = 32


@dataclass(frozen=True)
class Answer:
    """The output for a cloud of N points. Use labels and confidence only if `is_whole`."""

    labels: np.ndarray  # uint8 (N,): class ids from 1 on; 0 for points that are no measurement
    confidence: np.ndarray  # float32 (N,): probability of the label, 0..1; 0 where the label is 0
    lies_inside: bool  # whether all points lie in cells that can be numbered
    is_whole: bool  # whether they do and every level had room for its sites
    entropy: np.ndarray | None = None  # float32 (N,), 0..1, where it is wanted; 0 where the label is 0


class FixedPipeline:
    """A function of the input bytes on the device that returns the output bytes there."""

    def __init__(
        self,
        model: Network,
        bucket: Bucket,
        layout: PointLayout,
        precision: str = "fp32",
        temperature: float = 1.0,
        with_entropy: bool = False,
        brightest: float = math.inf,
    ) -> None:
        """`model` is in evaluation mode, `bucket` says for how many points and sites there is room, `precision` is one
        of PRECISIONS. `temperature`: as SegmentationOutput takes it. `brightest`: the largest intensity that the
        network gets, and the negative of the smallest; others are taken for these."""
        self._temperature, self._with_entropy, self._brightest = temperature, with_entropy, brightest
        self._model, self._bucket, self._layout, self._precision = model, bucket, layout, precision
        self.num_input_bytes = HEADER_BYTES + bucket.num_points * layout.point_step
        self.num_output_bytes = _COUNTER_BYTES + (9 if with_entropy else 5) * bucket.num_points

    @torch.inference_mode()
    def __call__(self, input_B: torch.Tensor) -> torch.Tensor:
        """Both uint8, of `num_input_bytes` and `num_output_bytes`."""
        points_P4, is_measured_P = self._decoded(input_B)
        placed = self._model.grid.place(points_P4, is_measured_P)
        batch, sites = fixed_voxels(placed, is_measured_P, self._model, self._bucket.num_rows)
        with computing_in(self._precision, input_B.device.type, keeps_casts=False):
            output = self._model(batch, with_points=self._model.predicts_from_points, sites=sites)
        labels_P, *values = output.labels_of_points(batch.point_to_voxel_P, self._temperature)
        if self._with_entropy:
            values.append(output.entropy_of_points(batch.point_to_voxel_P, self._temperature))
        counts_L = sites.num_sites_a_level()
        if len(counts_L) != len(self._bucket.num_rows):
            raise ValueError(
                f"the network visited {len(counts_L)} levels, but its strides are those of {len(self._bucket.num_rows)}"
            )
        counts = torch.stack((placed.fits, *counts_L)).int()
        counters = torch.nn.functional.pad(counts, (0, _COUNTER_BYTES // 4 - len(counts)))
        values = [torch.where(is_measured_P, values_P, 0.0) for values_P in values]
        return torch.cat([each.view(torch.uint8) for each in (counters, *values)] + [labels_P * is_measured_P])

    def read(self, output_B: np.ndarray, num_points: int) -> Answer:
        """The Answer for the first `num_points` points from the output bytes, uint8; copies."""
        lies_inside, *counts = output_B[:_COUNTER_BYTES].view(np.int32)[: 1 + len(self._bucket.num_rows)]
        room = self._bucket.num_points
        values = output_B[_COUNTER_BYTES:-room].view(np.float32).reshape(-1, room)[:, :num_points].copy()
        return Answer(
            labels=output_B[-room:][:num_points].copy(),
            confidence=values[0],
            lies_inside=bool(lies_inside),
            is_whole=bool(lies_inside) and all(map(operator.lt, counts, self._bucket.num_rows)),
            entropy=values[1] if self._with_entropy else None,
        )

    def _decoded(self, input_B: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(points (P, 4), is_measured (P,)); points that are no measurement are zeros."""
        num_points, intensity_scale = input_B[:4].view(torch.int32), input_B[4:8].view(torch.float32)
        bytes_PS = input_B[HEADER_BYTES:].view(self._bucket.num_points, self._layout.point_step)
        points_P4 = decode_points(bytes_PS, self._layout, intensity_scale)
        points_P4[:, 3].clamp_(-self._brightest, self._brightest)
        # After the last point come bytes of earlier clouds.
        is_point_P = torch.arange(self._bucket.num_points, device=input_B.device) < num_points
        is_measured_P = is_measured(points_P4) & is_point_P
        return torch.where(is_measured_P[:, None], points_P4, 0.0), is_measured_P


def write_header(input_B: np.ndarray, num_points: int, intensity_scale: float) -> None:
    """Writes the first bytes of a pipeline's input, a uint8 array."""
    input_B[:4].view(np.int32)[0] = num_points
    input_B[4:8].view(np.float32)[0] = intensity_scale
