"""A program on the device with the host's two buffers: cloud in, answer out, and one wait."""

import numpy as np
import torch

from pvd_core.programs.pipeline import HEADER_BYTES, write_header


class Program:
    """One FixedPipeline with its buffers. `static` is its StaticFunction."""

    def __init__(self, pipeline, static):
        self._pipeline, self._static = pipeline, static
        is_pinned = static.input_B.is_cuda
        self._staging = torch.zeros(pipeline.num_input_bytes, dtype=torch.uint8, pin_memory=is_pinned)
        self._answer = torch.zeros(pipeline.num_output_bytes, dtype=torch.uint8, pin_memory=is_pinned)

    def start(self, rows_HB, num_points, intensity_scale):
        """Queues a cloud: `rows_HB`, uint8 of NumPy, the bytes of each row of its points. Does not wait."""
        num_bytes = HEADER_BYTES + rows_HB.size
        staging = self._staging.numpy()
        write_header(staging, num_points, intensity_scale)
        staging[HEADER_BYTES:num_bytes].reshape(rows_HB.shape)[...] = rows_HB
        self._static.input_B[:num_bytes].copy_(self._staging[:num_bytes], non_blocking=True)
        self._answer.copy_(self._static(), non_blocking=True)

    def answer(self, num_points):
        """The Answer of the cloud that was started last: the one wait for the device."""
        if self._static.input_B.is_cuda:
            torch.cuda.current_stream(self._static.input_B.device).synchronize()
        return self._pipeline.read(self._answer.numpy(), num_points)


def rows_of(data, layout):
    """The bytes of each row of points, uint8 (height, width * point_step), of a cloud's `data`; a view. `layout` has
    height, width, point_step and row_step (bytes from row to row). ValueError where `data` is too short."""
    flat = np.frombuffer(data, np.uint8)
    used, step = layout.width * layout.point_step, layout.row_step
    if layout.height * layout.width == 0:
        return np.zeros((0, used), np.uint8)
    if step < used or flat.size < (layout.height - 1) * step + used:
        raise ValueError(
            f"data holds {flat.size} bytes, rows are {step} bytes apart: expected {layout.height} rows of {used} bytes"
        )
    return np.lib.stride_tricks.as_strided(flat, (layout.height, used), (step, 1), writeable=False)
