"""Runs: neighbouring taps of an output row that meet neighbouring input rows, to be multiplied as one longer row.

K taps, V output rows, M pairs, R runs of 1 to 3 taps. Sites and taps are both sorted with z fastest: the sites that lie
one above the other around an output are a run.
"""

import itertools
from dataclasses import dataclass

import numpy as np
import torch

_LONGEST = 3


@dataclass(frozen=True)
class Runs:
    """All pairs of a kernel map, each in one run. Runs of the same taps lie together, sorted by output."""

    groups: tuple[tuple[int, int, int], ...]  # (first tap, taps, runs) of those that lie together
    first_in_R: torch.Tensor  # int32, input row of each run's first tap; that of the next tap is the next row
    out_index_R: torch.Tensor  # int32, output row of each run
    run_numbers_R: torch.Tensor  # int32, runs sorted by output
    first_run_V: torch.Tensor  # int32, where in `run_numbers_R` each output starts

    def subset(self, taps):
        """The runs of some of the taps, a list in ascending order; None if that cuts a run."""
        number_of = {tap: number for number, tap in enumerate(taps)}
        counts = [count for _, _, count in self.groups]
        groups, in_parts, out_parts = [], [self.first_in_R[:0]], [self.out_index_R[:0]]
        for (first, length, count), in_part, out_part in zip(
            self.groups, self.first_in_R.split(counts), self.out_index_R.split(counts), strict=True
        ):
            num_kept = sum(tap in number_of for tap in range(first, first + length))
            if num_kept == length:
                groups.append((number_of[first], length, count))
                in_parts.append(in_part)
                out_parts.append(out_part)
            elif num_kept:
                return None
        out_index_R = torch.cat(out_parts)
        return Runs(tuple(groups), torch.cat(in_parts), out_index_R, *_sort(out_index_R, len(self.first_run_V)))


def runs_of_table(table_KV):
    """The Runs of a table of input rows, int32 (K, V), -1 where there is none."""
    num_taps, num_out = table_KV.shape
    width = _LONGEST if num_taps % _LONGEST == 0 else 1
    num_rows = num_taps // width
    parts = [(first, length) for length in range(1, width + 1) for first in range(width - length + 1)]
    starts = _starts(table_KV.view(num_rows, width, num_out), parts)
    groups = [(row * width + first, length) for first, length in parts for row in range(num_rows)]

    cells_R = _nonzero(starts.view(-1))
    first_cells_G = torch.arange(len(groups), device=cells_R.device) * num_out
    bounds = [*torch.searchsorted(cells_R, first_cells_G).tolist(), len(cells_R)]
    counts = [end - start for start, end in itertools.pairwise(bounds)]
    to_table_G = torch.tensor([tap - number for number, (tap, _) in enumerate(groups)], device=cells_R.device) * num_out
    to_table_R = torch.repeat_interleave(
        to_table_G, torch.tensor(counts, device=cells_R.device), output_size=len(cells_R)
    )
    out_index_R = (cells_R % max(num_out, 1)).int()
    first_in_R = table_KV.view(-1).index_select(0, cells_R + to_table_R)
    groups = tuple((*group, count) for group, count in zip(groups, counts, strict=True) if count)
    return Runs(groups, first_in_R, out_index_R, *_sort(out_index_R, num_out))


def _starts(table_JWV, parts):
    """Whether a run of each of the `parts` (first tap, taps) of a row of taps starts there: bool (parts, J, V)."""
    num_rows, width, num_out = table_JWV.shape
    is_pair_JWV = table_JWV >= 0
    # Whether a tap is in a run with the one before it.
    is_linked_JWV = torch.zeros_like(is_pair_JWV)
    is_linked_JWV[:, 1:] = (table_JWV[:, 1:] - table_JWV[:, :-1] == 1) & is_pair_JWV[:, :-1]
    is_apart_JWV = ~is_linked_JWV
    starts = is_pair_JWV.new_empty(len(parts), num_rows, num_out)
    for starts_JV, (first, length) in zip(starts, parts, strict=True):
        end = first + length
        torch.bitwise_and(is_pair_JWV[:, first], is_apart_JWV[:, first], out=starts_JV)
        for tap in range(first + 1, end):
            starts_JV &= is_linked_JWV[:, tap]
        if end < width:
            starts_JV &= is_apart_JWV[:, end]
    return starts


def _nonzero(mask):
    if mask.device.type == "cpu":  # numpy takes 40 % of torch's time
        return torch.from_numpy(np.flatnonzero(mask.numpy()))
    return mask.nonzero().squeeze(1)


def _sort(out_index_R, num_out):
    """(run_numbers_R, first_run_V)"""
    order_R = torch.sort(out_index_R, stable=True).indices.int()
    num_runs_V = torch.bincount(out_index_R, minlength=num_out)
    return order_R, (num_runs_V.cumsum(0) - num_runs_V).int()
