"""The native backend: the C++ engine of pvd_core/native, on CPUs in float32 and bfloat16. Other operands go to the
reference. V sites, I input channels, O output channels, K taps."""

import math
from typing import Any

import torch

from pvd_core.native import calls, cells, sorted_cells
from pvd_core.native.calls import PackedWeight, Steps, TapRows, is_usable_for
from pvd_core.native.cells import NativeCells
from pvd_core.native.library import level, load
from pvd_core.native.sorted_cells import NativeSortedCells
from pvd_core.sparse.backends import reference
from pvd_core.sparse.blocks import Blocks
from pvd_core.sparse.derived import derived
from pvd_core.sparse.interfaces import Triple
from pvd_core.sparse.kernel_map import KernelMap
from pvd_core.sparse.site_index import SiteIndex
from pvd_core.sparse.site_index import site_index as plain_site_index

ROUNDS_WEIGHTS = True
# A table of as many columns takes 50 MB.
_MOST_TABLE_COLUMNS = 1 << 22

load()  # UserError at once where there is no library


def convolve(features_VI: torch.Tensor, weight_KIO: torch.Tensor, kernel_map: KernelMap) -> torch.Tensor:
    """As the reference's; results do not depend on the number of threads. The weight may be float32 beside bfloat16
    features: it is rounded, its gradient is not."""
    if not is_usable_for(features_VI):
        return reference.convolve(features_VI, weight_KIO, kernel_map)
    return _Convolve.apply(features_VI, weight_KIO, kernel_map)


def convolve_fused(
    features_VI: torch.Tensor,
    weight_KIO: torch.Tensor,
    kernel_map: KernelMap,
    bias: torch.Tensor | None = None,
    negative_slope: float | None = None,
    scale: torch.Tensor | None = None,
    shift: torch.Tensor | None = None,
    added: torch.Tensor | None = None,
    activates_last: bool = False,
) -> torch.Tensor:
    """As `convolve`, with an Epilogue (pvd_core/sparse/epilogue.py), without gradients, and for features that
    `is_usable_for` accepts."""
    steps = Steps(bias, negative_slope, scale, shift, added, activates_last)
    weight = _packed(weight_KIO, features_VI.dtype, kernel_map)
    return calls.convolve(features_VI, weight, _taps(kernel_map), steps)


def site_index(coords_V4: torch.Tensor, shape: Triple, batch_size: int) -> SiteIndex:
    """Where Sites look up sites. Results are those of the index in plain torch, to the bit."""
    if coords_V4.device.type != "cpu" or not sorted_cells.fits(shape):
        return plain_site_index(coords_V4, shape, batch_size)
    has_few_columns = batch_size * shape[0] * shape[1] <= _MOST_TABLE_COLUMNS
    return (NativeCells if has_few_columns and cells.fits(shape) else NativeSortedCells)(coords_V4, shape, batch_size)


def blocks(coords_V4: torch.Tensor, stride: Triple, shape: Triple) -> Blocks:
    """As Blocks.of."""
    if coords_V4.device.type != "cpu":
        return Blocks.of(coords_V4, stride, shape)
    return _NativeBlocks(*sorted_cells.blocks(coords_V4, stride), math.prod(stride))


def run_layers(
    rows_NI: torch.Tensor, layers: Any, joined: Any = None, with_hidden: bool = False
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """As that of pvd_core/models/fused_linear.py, without autocast."""
    packed = [
        calls.Layer(calls.pack(layer.weight_OI.t()[None], rows_NI.dtype), layer.bias_O, layer.relu) for layer in layers
    ]
    added, index_N = joined or (None, None)
    return calls.chain(rows_NI, packed, added, index_N, with_hidden)


class _NativeBlocks(Blocks):
    def tap_rows(self) -> torch.Tensor:
        return self._listed(is_back=False)

    def tap_rows_back(self) -> torch.Tensor:
        return self._listed(is_back=True)

    def _listed(self, is_back: bool) -> torch.Tensor:
        sites = self.coarse_of_site_V, self.tap_of_site_V
        return sorted_cells.block_rows(*sites, len(self.coarse_C4), self.num_taps, is_back)


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features_VI: torch.Tensor, weight_KIO: torch.Tensor, kernel_map: KernelMap) -> torch.Tensor:
        ctx.save_for_backward(features_VI, weight_KIO)
        ctx.kernel_map = kernel_map
        # Grad mode is off in here. A weight that is being trained changes with every step: nothing of it is kept.
        weight = (_pack if any(ctx.needs_input_grad) else _packed)(weight_KIO, features_VI.dtype, kernel_map)
        return calls.convolve(features_VI, weight, _taps(kernel_map))

    @staticmethod
    def backward(ctx: Any, grad_VO: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None, None]:
        features_VI, weight_KIO = ctx.saved_tensors
        grad_VO, kernel_map = grad_VO.to(features_VI.dtype), ctx.kernel_map
        grad_features_VI = grad_weight_KIO = None
        if ctx.needs_input_grad[0]:
            transposed = kernel_map.transposed
            weight = _pack(weight_KIO.transpose(1, 2), grad_VO.dtype, transposed)
            grad_features_VI = calls.convolve(grad_VO, weight, _taps(transposed))
        if ctx.needs_input_grad[1]:
            sums_KIO = calls.weight_gradient(features_VI, grad_VO, _taps(kernel_map))
            grad_weight_KIO = (sums_KIO.flip(0) if kernel_map.is_transposed else sums_KIO).to(weight_KIO.dtype)
        return grad_features_VI, grad_weight_KIO, None


def _taps(kernel_map: KernelMap) -> TapRows:
    return TapRows(*kernel_map.tap_rows)


def _pack(weight_KIO: torch.Tensor, dtype: torch.dtype, kernel_map: KernelMap) -> PackedWeight:
    """A transposed map has its tap rows in reverse order of the taps."""
    return calls.pack(weight_KIO, dtype, kernel_map.is_transposed)


def _packed(weight_KIO: torch.Tensor, dtype: torch.dtype, kernel_map: KernelMap) -> PackedWeight:
    """As `_pack`, kept until the weight changes."""
    name = "packed", level(), dtype, kernel_map.is_transposed  # each level has a layout of its own
    data = derived(weight_KIO, name, lambda weight: _pack(weight, dtype, kernel_map).data)
    return PackedWeight(data, dtype, *weight_KIO.shape)
