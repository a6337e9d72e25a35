"""A pipeline on the device with its two buffers on the host: copies a cloud in and its answer out, and waits once."""

import numpy as np
import torch

from pvd_core.programs.pipeline import HEADER_BYTES, Answer, FixedPipeline, write_header
from pvd_core.programs.static_function import StaticFunction


class Program:
    """A FixedPipeline with its buffers, ready to run."""

    def __init__(self, pipeline: FixedPipeline, static: StaticFunction[torch.Tensor]) -> None:
        """`static` is the StaticFunction of `pipeline`."""
        self._pipeline, self._static = pipeline, static
        is_pinned = static.input_B.is_cuda
        self._staging = torch.zeros(pipeline.num_input_bytes, dtype=torch.uint8, pin_memory=is_pinned)
        self._answer = torch.zeros(pipeline.num_output_bytes, dtype=torch.uint8, pin_memory=is_pinned)

    def start(self, rows_HB: np.ndarray, num_points: int, intensity_scale: float) -> None:
        """Queues a cloud for the device and does not wait. `rows_HB` uint8: the bytes of each row of its points."""
        num_bytes = HEADER_BYTES + rows_HB.size
        staging = self._staging.numpy()
        write_header(staging, num_points, intensity_scale)
        staging[HEADER_BYTES:num_bytes].reshape(rows_HB.shape)[...] = rows_HB
        self._static.input_B[:num_bytes].copy_(self._staging[:num_bytes], non_blocking=True)
        self._answer.copy_(self._static(), non_blocking=True)

    def answer(self, num_points: int) -> Answer:
        """The Answer for the cloud that was started last. Waits for the device."""
        if self._static.input_B.is_cuda:
            torch.cuda.current_stream(self._static.input_B.device).synchronize()
        return self._pipeline.read(self._answer.numpy(), num_points)
