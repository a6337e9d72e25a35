"""Finds block sizes for the layers of a network on the GPU at hand: by measuring each one changed at a time.

Row blocks of each size are cut before anything is timed, as in a network they are shared by layers.
"""

import time
from dataclasses import replace

import torch
from triton.compiler.errors import CompilationError
from triton.runtime.errors import OutOfResources

from pvd_core.runtime.precision import computing_in
from pvd_core.sparse.backends import triton as backend
from pvd_core.sparse.backends.triton_blocks import block_sizes, layer_shape

_CHOICES = {
    "rows": (32, 64, 128, 256),
    "out_channels": (16, 32, 64, 128),
    "in_channels": (16, 32, 64, 128),
    "num_warps": (2, 4, 8),
    "num_stages": (2, 3, 4, 5),
}
# Candidates sum the same products in another order.
_TOLERANCE = 0.01


class _Recorder:
    """A backend that notes the operands of each layer and hands them on."""

    def __init__(self):
        self.layers = {}

    def convolve(self, features_VI, weight_KIO, kernel_map):
        shape = layer_shape(weight_KIO.shape[1], weight_KIO.shape[2], features_VI, kernel_map.num_out)
        known = self.layers.get(shape)
        # Of layers that differ in their kernel alone the costliest decides.
        if known is None or known[1].shape[0] < weight_KIO.shape[0]:
            self.layers[shape] = features_VI, weight_KIO, kernel_map
        return backend.convolve(features_VI, weight_KIO, kernel_map)


def tune(segmenter, batch, time_ms=None, seconds=300.0, progress=None):
    """{LayerShape: BlockSizes} fastest for the sparse layers of a Segmenter's network on a VoxelBatch, in its
    precision. `time_ms(function)` measures; `seconds` ends the search early; `progress(done, all)`."""
    time_ms = time_ms or _median_ms
    deadline = time.monotonic() + seconds
    model, recorder = segmenter.model, _Recorder()
    before, model.backend = model.backend, recorder
    try:
        segmenter.run_network(batch)
    finally:
        model.backend = before
    best = {}
    with torch.inference_mode(), computing_in(segmenter.precision, segmenter.device.type):
        for shape, operands in recorder.layers.items():
            if time.monotonic() < deadline:
                best[shape] = _best_sizes(operands, time_ms, deadline)
            if progress is not None:
                progress(len(best), len(recorder.layers))
    return best


def _best_sizes(operands, time_ms, deadline):
    features_VI, weight_KIO, kernel_map = operands
    in_channels, out_channels = weight_KIO.shape[1:]
    best = block_sizes(in_channels, out_channels, features_VI, kernel_map.num_out)
    expected_VO = backend.convolve_with(operands, best)
    best_ms = time_ms(lambda: backend.convolve_with(operands, best))
    for name, choices in _CHOICES.items():
        most = {"in_channels": in_channels, "out_channels": out_channels}.get(name)
        tried = {getattr(best, name)}
        for choice in choices:
            fits = most is None or choice < 2 * max(most, 16)
            if choice in tried or not fits or time.monotonic() > deadline:
                continue
            candidate = replace(best, **{name: choice})
            spent_ms = _time_of(candidate, operands, expected_VO, time_ms)
            if spent_ms < best_ms:
                best, best_ms = candidate, spent_ms
    return best


def _time_of(sizes, operands, expected_VO, time_ms):
    """Milliseconds; infinite where the sizes do not fit this GPU or give something else."""
    try:
        result_VO = backend.convolve_with(operands, sizes)
    except (OutOfResources, CompilationError):
        return float("inf")
    difference = (result_VO.float() - expected_VO.float()).abs().max()
    if not difference <= _TOLERANCE * expected_VO.float().abs().max():
        return float("inf")
    return time_ms(lambda: backend.convolve_with(operands, sizes))


def _median_ms(function):
    from triton.testing import do_bench

    return do_bench(function, warmup=5, rep=20, return_mode="median")
