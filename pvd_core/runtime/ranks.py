"""Losses and statistics over all ranks: the processes that share one training batch. With one process all of this does
nothing.

Every rank computes the same global loss L, and the gradients of the ranks are averaged afterwards. So the gradient that
a rank sends into its own part must be dL / d(part) times the number of ranks: that is what the functions here do.
Every rank has to call them in the same order, also one with nothing to add.
"""

import torch
import torch.distributed


def num_ranks():
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_world_size()
    return 1


def sum_over_ranks(values):
    """The sum of a tensor over the ranks, the same on each; differentiable."""
    return values if num_ranks() == 1 else _SumOverRanks.apply(values)


def rows_of_all_ranks(rows):
    """The rows (N, ...) of rank 0, then those of rank 1, ...; N may differ from rank to rank; differentiable."""
    return rows if num_ranks() == 1 else _RowsOfAllRanks.apply(rows)


def gathered(values):
    """A tensor of the same shape on every rank, stacked: (ranks, ...); without gradient."""
    parts = [torch.empty_like(values) for _ in range(num_ranks())]
    torch.distributed.all_gather(parts, values.detach().contiguous())
    return torch.stack(parts)


class _SumOverRanks(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values):
        total = values.clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, grad):
        return grad * num_ranks()


class _RowsOfAllRanks(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rows):
        counts = gathered(torch.tensor(len(rows), device=rows.device)).tolist()
        # Collectives want equal shapes.
        padded = rows.new_zeros(max(counts), *rows.shape[1:])
        padded[: len(rows)] = rows
        start = sum(counts[: torch.distributed.get_rank()])
        ctx.own_rows = slice(start, start + len(rows))
        return torch.cat([part[:count] for part, count in zip(gathered(padded), counts, strict=True)])

    @staticmethod
    def backward(ctx, grad):
        return grad[ctx.own_rows] * num_ranks()
