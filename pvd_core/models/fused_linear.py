"""Linear layers for inference: norms folded into the weights, ReLU fused, rows in chunks that fit the cache. N rows.

For 130,000 points the point branch of Cylinder3D costs 14 GMAC and, run layer by layer, a gigabyte of memory traffic.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from pvd_core.models.norm import Norm
from pvd_core.runtime import onednn

# 4096 rows of 256 float32 are 4 MB. The last chunk is padded to a multiple of 1024 rows: oneDNN compiles a kernel for
# every size.
_CHUNK_ROWS = 4096
_STEP_ROWS = 1024


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


def linear(rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, relu: bool = False) -> torch.Tensor:
    """rows @ weight.T + bias, then ReLU if `relu`; in autocast's dtype if autocast is on. Without gradient."""
    if torch.is_autocast_enabled(rows.device.type):
        dtype = torch.get_autocast_dtype(rows.device.type)
        rows, weight, bias = rows.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
    if onednn.is_usable_for(rows):
        return onednn.product(rows, weight, bias, relu)
    result = functional.linear(rows, weight, bias)
    return result.relu_() if relu else result


def in_chunks(function: Callable[..., Any], *inputs: torch.Tensor) -> Any:
    """`function(*inputs)`, a tensor or a tuple of tensors, computed chunk by chunk on the CPU. All inputs have N rows;
    each row of an output may depend only on the same row of the inputs."""
    if inputs[0].device.type != "cpu":
        return function(*inputs)
    num_rows = inputs[0].shape[0]
    results: tuple[torch.Tensor, ...] = ()
    for start in range(0, max(num_rows, 1), _CHUNK_ROWS):
        outputs = function(*(_chunk(rows, start) for rows in inputs))
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        if not results:
            results = tuple(output.new_empty(num_rows, output.shape[1]) for output in outputs)
        for result, output in zip(results, outputs, strict=True):
            part = result[start : start + _CHUNK_ROWS]
            part.copy_(output[: part.shape[0]])
    return results if len(results) > 1 else results[0]


def _chunk(rows: torch.Tensor, start: int) -> torch.Tensor:
    """The chunk of rows that begins at `start`, padded with zeros."""
    chunk = rows[start : start + _CHUNK_ROWS]
    missing = -max(chunk.shape[0], 1) % _STEP_ROWS
    return functional.pad(chunk, (0, 0, 0, missing)) if missing else chunk
