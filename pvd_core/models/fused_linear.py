"""Linear layers for inference: norms folded into the weights, rows in chunks that fit the cache.

N rows, I input channels, O output channels, H hidden ones.

For 130,000 points the point branch of Cylinder3D costs 14 GMAC and, run layer by layer, a gigabyte of memory traffic.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import nn
from torch.nn import functional

from pvd_core.models.norm import Norm
from pvd_core.sparse.backends import offers
from pvd_core.sparse.interfaces import Backend

_CHUNK_ROWS = 4096  # of 256 float32 are 4 MB


def folded(
    linear: nn.Linear, before: Norm | None = None, after: Norm | None = None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(weight, bias) of one linear layer that computes `after(linear(before(x)))` as in evaluation. The bias is None if
    `linear` has none and no norm is given."""
    weight: torch.Tensor = linear.weight
    bias: torch.Tensor | None = linear.bias
    if before is not None:
        scale, shift = before.scale_and_shift()
        bias = weight @ shift + (0 if bias is None else bias)
        weight = weight * scale
    if after is not None:
        scale, shift = after.scale_and_shift()
        bias = shift if bias is None else bias * scale + shift
        weight = weight * scale[:, None]
    return weight, bias


class Layer(NamedTuple):
    """rows @ weight.T + bias, then ReLU if `relu`."""

    weight_OI: torch.Tensor
    bias_O: torch.Tensor | None
    relu: bool = False


class Joined(NamedTuple):
    """`rows[index]` joins the sums of the first layer, before its ReLU."""

    rows: torch.Tensor  # (any, O)
    index_N: torch.Tensor  # int64


def run_layers(
    rows_NI: torch.Tensor,
    layers: Sequence[Layer],
    backend: Backend,
    joined: Joined | None = None,
    with_hidden: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Layers one after the other, in autocast's dtype if autocast is on, by `backend` where it has `run_layers` of its
    own: (result (N, O), what enters the last layer (N, H) if `with_hidden`). Without gradient."""
    if torch.is_autocast_enabled(rows_NI.device.type):
        dtype = torch.get_autocast_dtype(rows_NI.device.type)
        rows_NI = rows_NI.to(dtype)
        layers = [Layer(weight.to(dtype), _cast(bias, dtype), relu) for weight, bias, relu in layers]
        joined = None if joined is None else Joined(joined.rows.to(dtype), joined.index_N)
    if offers(backend, "run_layers", rows_NI):
        return cast(Any, backend).run_layers(rows_NI, layers, joined, with_hidden)
    inputs = (rows_NI,) if joined is None else (rows_NI, joined.index_N[:, None])

    def run(hidden: torch.Tensor, *index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        for number, layer in enumerate(layers):
            before = hidden
            if joined is None or number > 0:
                hidden = _linear(hidden, layer)
                continue
            hidden = _linear(hidden, layer._replace(relu=False)).add_(joined.rows.index_select(0, index[0].squeeze(1)))
            hidden = hidden.relu_() if layer.relu else hidden
        return hidden, before

    return _in_chunks(run, *inputs)


class Classifier(nn.Linear):
    """Class scores of rows. For inference by `backend` where it has `run_layers` of its own: in bfloat16 oneDNN would
    compile a kernel of a megabyte for each new number of rows, and keep a thousand of them."""

    def forward(self, rows_NI: torch.Tensor, backend: Backend | None = None) -> torch.Tensor:
        if torch.is_grad_enabled() or not offers(backend, "run_layers", rows_NI):
            return super().forward(rows_NI)
        return run_layers(rows_NI, [Layer(self.weight, self.bias)], cast(Backend, backend))[0]


def _cast(bias: torch.Tensor | None, dtype: torch.dtype) -> torch.Tensor | None:
    return None if bias is None else bias.to(dtype)


def _linear(rows: torch.Tensor, layer: Layer) -> torch.Tensor:
    result = functional.linear(rows, layer.weight_OI, layer.bias_O)
    return result.relu_() if layer.relu else result


def _in_chunks(function: Callable[..., Any], *inputs: torch.Tensor) -> Any:
    """`function(*inputs)`, a tuple of tensors, computed chunk by chunk on the CPU. All inputs have N rows;
    each row of an output may depend only on the same row of the inputs."""
    if inputs[0].device.type != "cpu":
        return function(*inputs)
    chunks = zip(*(rows.split(_CHUNK_ROWS) for rows in inputs), strict=True)
    return tuple(torch.cat(outputs) for outputs in zip(*(function(*chunk) for chunk in chunks), strict=True))
