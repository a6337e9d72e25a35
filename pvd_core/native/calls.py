"""The library's functions on torch tensors. float32 or bfloat16 on the CPU; sums are float32.

V output rows, I input channels, O output channels, K taps, J rows of L taps (pvd_core/sparse/tap_rows.py), N rows.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from pvd_core.native.library import load

_TYPES = {torch.float32: 0, torch.bfloat16: 1}


class TapRows(NamedTuple):
    """The pairs of a convolution."""

    rows_JV: torch.Tensor  # int32
    length: int  # taps of a row, 1 or 3


@dataclass(frozen=True)
class Steps:
    """What is done to the sums before they are stored, in this order; None or False leaves a step out. The leaky ReLU
    comes last where it `activates_last`."""

    bias_O: torch.Tensor | None = None
    negative_slope: float | None = None
    scale_O: torch.Tensor | None = None
    shift_O: torch.Tensor | None = None
    added_VO: torch.Tensor | None = None
    activates_last: bool = False


@dataclass(frozen=True)
class PackedWeight:
    """A weight (K, I, O) in the order in which products read it; for features of `dtype`."""

    data: torch.Tensor  # uint8
    dtype: torch.dtype
    num_taps: int
    in_channels: int
    out_channels: int


@dataclass(frozen=True)
class Layer:
    """A linear layer: rows @ weight + bias, then ReLU."""

    weight: PackedWeight  # one tap
    bias_O: torch.Tensor | None
    relu: bool


class _Epilogue(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("bias", "scale", "shift", "added")),
        ("negative_slope", ctypes.c_float),
        ("has_slope", ctypes.c_int32),
        ("activates_last", ctypes.c_int32),
    ]


class _Convolution(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("features", "packed", "tap_rows", "result")),
        ("num_out", ctypes.c_int64),
        *((name, ctypes.c_int32) for name in ("in_channels", "out_channels", "num_rows", "row_length")),
        *((name, ctypes.c_int32) for name in ("type", "threads")),
        ("epilogue", _Epilogue),
    ]


class _WeightGradient(ctypes.Structure):
    _fields_ = _Convolution._fields_[:-1]


class _Linear(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("packed", "bias")),
        *((name, ctypes.c_int32) for name in ("in_channels", "out_channels", "has_relu")),
    ]


class _Chain(ctypes.Structure):
    _fields_ = [
        ("rows", ctypes.c_void_p),
        ("layers", ctypes.POINTER(_Linear)),
        *((name, ctypes.c_void_p) for name in ("added", "index", "hidden", "result")),
        ("num_rows", ctypes.c_int64),
        *((name, ctypes.c_int32) for name in ("num_layers", "type", "threads")),
    ]


def is_usable_for(tensor: torch.Tensor) -> bool:
    """Whether the library computes with this tensor's dtype on its device."""
    return tensor.device.type == "cpu" and tensor.dtype in _TYPES


def pack(weight_KIO: torch.Tensor, dtype: torch.dtype = torch.float32, reverses_taps: bool = False) -> PackedWeight:
    """A weight for features of `dtype`. It may be a transposed view; `reverses_taps` packs the last tap first."""
    weight_KIO = weight_KIO.detach().float()
    num_taps, in_channels, out_channels = weight_KIO.shape
    sizes = _TYPES[dtype], num_taps, in_channels, out_channels
    data = torch.empty(load().pvd_packed_bytes(*sizes), dtype=torch.uint8)
    strides = (ctypes.c_int64 * 3)(*weight_KIO.stride())
    source = _pointer(weight_KIO, strided=True), strides
    threads = torch.get_num_threads()
    load().pvd_pack(sizes[0], *source, *sizes[1:], int(reverses_taps), _pointer(data), threads)
    return PackedWeight(data, dtype, num_taps, in_channels, out_channels)


def convolve(features_VI: torch.Tensor, weight: PackedWeight, taps: TapRows, steps: Steps = Steps()) -> torch.Tensor:
    """out[v] = steps(sum over pairs (i, v, k) of features[i] @ weight[k]), (V, O) of the features' dtype. Without
    gradient."""
    features_VI, rows_JV = features_VI.contiguous(), taps.rows_JV.contiguous()
    num_rows, num_out = rows_JV.shape
    assert features_VI.dtype == weight.dtype
    assert rows_JV.dtype == torch.int32
    assert (features_VI.shape[1], num_rows * taps.length) == (weight.in_channels, weight.num_taps)
    result_VO = features_VI.new_empty(num_out, weight.out_channels)
    # The converted copies must live until the call has returned.
    vectors = [_vector(values, weight.out_channels) for values in (steps.bias_O, steps.scale_O, steps.shift_O)]
    added_VO = steps.added_VO
    if added_VO is not None:
        assert (added_VO.shape, added_VO.dtype) == (result_VO.shape, result_VO.dtype)
        added_VO = added_VO.contiguous()
    epilogue = _Epilogue(
        *map(_pointer, (*vectors, added_VO)),
        steps.negative_slope or 0.0,
        steps.negative_slope is not None,
        steps.activates_last,
    )
    call = _Convolution(
        *map(_pointer, (features_VI, weight.data, rows_JV, result_VO)),
        *(num_out, weight.in_channels, weight.out_channels, num_rows, taps.length),
        *(_TYPES[features_VI.dtype], torch.get_num_threads()),
        epilogue,
    )
    load().pvd_convolve(ctypes.byref(call))
    return result_VO


def weight_gradient(features_VI: torch.Tensor, grad_VO: torch.Tensor, taps: TapRows) -> torch.Tensor:
    """grad[k] = sum over pairs (i, v, k) of features[i]^T grad[v], float32 (K, I, O)."""
    features_VI, grad_VO, rows_JV = features_VI.contiguous(), grad_VO.contiguous(), taps.rows_JV.contiguous()
    num_rows, num_out = rows_JV.shape
    in_channels, out_channels = features_VI.shape[1], grad_VO.shape[1]
    assert features_VI.dtype == grad_VO.dtype
    assert len(grad_VO) == num_out
    result_KIO = torch.empty(num_rows * taps.length, in_channels, out_channels, dtype=torch.float32)
    call = _WeightGradient(
        *map(_pointer, (features_VI, grad_VO, rows_JV, result_KIO)),
        *(num_out, in_channels, out_channels, num_rows, taps.length),
        *(_TYPES[features_VI.dtype], torch.get_num_threads()),
    )
    load().pvd_weight_gradient(ctypes.byref(call))
    return result_KIO


def chain(
    rows_NI: torch.Tensor,
    layers: Sequence[Layer],
    added: torch.Tensor | None = None,
    index_N: torch.Tensor | None = None,
    with_hidden: bool = True,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Layers one after the other. `added[index]` joins the first layer's sums before its ReLU. Returns (result (N, O),
    what entered the last of several layers (N, H) or None), of the rows' dtype. Without gradient."""
    rows_NI, num_rows, last = rows_NI.contiguous(), len(rows_NI), layers[-1].weight
    result_NO = rows_NI.new_empty(num_rows, last.out_channels)
    hidden_NH = rows_NI.new_empty(num_rows, last.in_channels) if with_hidden and len(layers) > 1 else None
    biases = [_vector(layer.bias_O, layer.weight.out_channels) for layer in layers]
    if added is not None and index_N is not None:
        added, index_N = added.detach().float().contiguous(), index_N.contiguous()
        assert index_N.dtype == torch.int64
        assert len(index_N) == num_rows
    array = (_Linear * len(layers))(
        *(
            _Linear(
                _pointer(layer.weight.data),
                _pointer(bias_O),
                layer.weight.in_channels,
                layer.weight.out_channels,
                layer.relu,
            )
            for layer, bias_O in zip(layers, biases, strict=True)
        )
    )
    call = _Chain(
        _pointer(rows_NI),
        array,
        *map(_pointer, (added, index_N, hidden_NH, result_NO)),
        *(num_rows, len(layers), _TYPES[rows_NI.dtype], torch.get_num_threads()),
    )
    load().pvd_chain(ctypes.byref(call))
    return result_NO, hidden_NH


def _vector(values: torch.Tensor | None, size: int) -> torch.Tensor | None:
    if values is None:
        return None
    values = values.detach().float().contiguous()
    assert values.shape == (size,)
    return values


def _pointer(tensor: torch.Tensor | None, strided: bool = False) -> int | None:
    if tensor is None:
        return None
    assert tensor.device.type == "cpu"
    assert strided or tensor.is_contiguous()
    return tensor.data_ptr()
