"""Sums and rows over all ranks: the processes that share one training batch. With one process they change nothing.

Every rank computes the same loss L of the whole batch, and DDP averages the gradients of the ranks afterwards. So the
gradient with respect to a rank's own part must be dL / d(part) times the number of ranks; the functions here return it
so. Every rank must call them in the same order, also a rank whose part is empty.
"""

from typing import Any

import torch
import torch.distributed


def num_ranks() -> int:
    """1 where training is not distributed."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_world_size()
    return 1


def sum_over_ranks(values: torch.Tensor) -> torch.Tensor:
    """Sum of a tensor over the ranks, the same result on each; differentiable."""
    return values if num_ranks() == 1 else _SumOverRanks.apply(values)


def rows_of_all_ranks(rows: torch.Tensor) -> torch.Tensor:
    """The rows (N, ...) of rank 0, then those of rank 1, and so on; N may differ between ranks; differentiable."""
    return rows if num_ranks() == 1 else _RowsOfAllRanks.apply(rows)


def gathered(values: torch.Tensor) -> torch.Tensor:
    """The tensors of all ranks stacked, (ranks, ...); they must have one shape. Without gradient."""
    parts = [torch.empty_like(values) for _ in range(num_ranks())]
    torch.distributed.all_gather(parts, values.detach().contiguous())
    return torch.stack(parts)


class _SumOverRanks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: torch.Tensor) -> torch.Tensor:
        total = values.clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        return grad * num_ranks()


class _RowsOfAllRanks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor) -> torch.Tensor:
        counts = gathered(torch.tensor(len(rows), device=rows.device)).tolist()
        # all_gather needs tensors of equal shape.
        padded = rows.new_zeros(max(counts), *rows.shape[1:])
        padded[: len(rows)] = rows
        start = sum(counts[: torch.distributed.get_rank()])
        ctx.own_rows = slice(start, start + len(rows))
        return torch.cat([part[:count] for part, count in zip(gathered(padded), counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        return grad[ctx.own_rows] * num_ranks()
