"""Finds block sizes for the layers of a network on this GPU: changes one size at a time and keeps what is faster.

Row blocks are cut before anything is timed, because in a network several layers share them.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import torch
from triton.compiler.errors import CompilationError
from triton.runtime.errors import OutOfResources

from pvd_core.runtime.precision import computing_in
from pvd_core.sparse.backends import triton as backend
from pvd_core.sparse.backends.triton_blocks import block_sizes, layer_shape
from pvd_core.sparse.backends.triton_table import BlockSizes, LayerShape
from pvd_core.sparse.kernel_map import KernelMap

_CHOICES = {
    "rows": (32, 64, 128, 256),
    "out_channels": (16, 32, 64, 128),
    "in_channels": (16, 32, 64, 128),
    "num_warps": (2, 4, 8),
    "num_stages": (2, 3, 4, 5),
}
# Largest difference between two sizes' results, relative to the largest result: they sum in different orders.
_TOLERANCE = 0.01

_TimeMs = Callable[[Callable[[], object]], float]


class NetworkRunner(Protocol):
    """What tuning needs of a Segmenter, which this package may not import."""

    model: Any  # the network, with its `backend`
    precision: str
    device: torch.device

    def run_network(self, batch: Any) -> object: ...


class _Recorder:
    """A backend that notes the operands of each layer and lets the triton backend compute it."""

    def __init__(self) -> None:
        self.layers: dict[LayerShape, backend.Operands] = {}

    def convolve(self, features_VI: torch.Tensor, weight_KIO: torch.Tensor, kernel_map: KernelMap) -> torch.Tensor:
        shape = layer_shape(weight_KIO.shape[1], weight_KIO.shape[2], features_VI, kernel_map.num_out)
        known = self.layers.get(shape)
        # Of layers that differ only in their kernel, the costliest is measured.
        if known is None or known[1].shape[0] < weight_KIO.shape[0]:
            self.layers[shape] = features_VI, weight_KIO, kernel_map
        return backend.convolve(features_VI, weight_KIO, kernel_map)


def tune(
    segmenter: NetworkRunner,
    batch: Any,
    time_ms: _TimeMs | None = None,
    seconds: float = 300.0,
    progress: Callable[[int, int], None] | None = None,
) -> dict[LayerShape, BlockSizes]:
    """The fastest sizes for the sparse layers of a Segmenter's network on a VoxelBatch, in the Segmenter's precision.
    `time_ms(function)` measures a call; the search ends after `seconds`, with the layers that it has found by then;
    `progress(done, all)` is called after each layer."""
    time_ms = time_ms or _median_ms
    deadline = time.monotonic() + seconds
    model, recorder = segmenter.model, _Recorder()
    before, model.backend = model.backend, recorder
    try:
        segmenter.run_network(batch)
    finally:
        model.backend = before
    best: dict[LayerShape, BlockSizes] = {}
    with torch.inference_mode(), computing_in(segmenter.precision, segmenter.device.type):
        for shape, operands in recorder.layers.items():
            if time.monotonic() < deadline:
                best[shape] = _best_sizes(operands, time_ms, deadline)
            if progress is not None:
                progress(len(best), len(recorder.layers))
    return best


def _best_sizes(operands: backend.Operands, time_ms: _TimeMs, deadline: float) -> BlockSizes:
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


def _time_of(sizes: BlockSizes, operands: backend.Operands, expected_VO: torch.Tensor, time_ms: _TimeMs) -> float:
    """Milliseconds; infinite where the sizes do not fit this GPU or give a wrong result."""
    try:
        result_VO = backend.convolve_with(operands, sizes)
    except (OutOfResources, CompilationError):
        return float("inf")
    difference = (result_VO.float() - expected_VO.float()).abs().max()
    if not difference <= _TOLERANCE * expected_VO.float().abs().max():
        return float("inf")
    return time_ms(lambda: backend.convolve_with(operands, sizes))


def _median_ms(function: Callable[[], object]) -> float:
    from triton.testing import do_bench

    return do_bench(function, warmup=5, rep=20, return_mode="median")
