"""Tap rows: which sites an output meets under three taps that lie one above the other along z, packed in one number.

J rows of L = 3 taps (or 1), V output rows, K = J * L taps, M pairs. A cell of `rows_JV`, int32, is 8 times the number
of the first site that its taps meet, plus 2^t for each tap t that meets a site; 0 where none does. Sites are sorted
with z fastest, so the other taps meet the sites that come next. Site numbers go up to 2^28.
"""

import torch

LENGTH = 3


def rows_of_table(table_KV: torch.Tensor) -> torch.Tensor:
    """Rows of one tap each, int32 (K, V), from the input row of each tap and output, int32, -1 where there is none."""
    return (table_KV * 8 + 1).clamp_(min=0)


def table_of_rows(rows_JV: torch.Tensor, length: int) -> torch.Tensor:
    """Input row of each tap and output, int32 (K, V), -1 where there is none, from rows of `length` taps."""
    num_rows, num_out = rows_JV.shape
    taps = [_inputs(rows_JV, tap) for tap in range(length)]
    return torch.stack(taps, dim=1).view(num_rows * length, num_out)


def middle_taps(rows_JV: torch.Tensor) -> torch.Tensor:
    """The second taps of rows of three taps, as rows of one tap."""
    return rows_of_table(_inputs(rows_JV, 1))


def transposed_rows(rows_JV: torch.Tensor, length: int, num_in: int) -> torch.Tensor:
    """Tap rows of the transposed map, (J, num_in). Rows, and taps within a row, are in reverse order: so the numbers of
    the sites that a row meets ascend again."""
    num_rows, num_out = rows_JV.shape
    result_JV = rows_JV.new_zeros(num_rows, num_in)
    for tap in range(length):
        cells_M = _nonzero(_meets(rows_JV, tap).view(-1))
        row_M = cells_M // max(num_out, 1)
        out_M = cells_M - row_M * num_out
        back_M = (num_rows - 1 - row_M) * num_in + _number(rows_JV.view(-1).index_select(0, cells_M), tap)
        # The last tap comes first in the transposed row: its number is written last, and stays.
        bits_M = result_JV.view(-1).index_select(0, back_M) & 7 | 1 << (length - 1 - tap)
        result_JV.view(-1).scatter_(0, back_M, (out_M * 8 + bits_M).int())
    return result_JV


def _nonzero(mask: torch.Tensor) -> torch.Tensor:
    """Where `mask`, bool (N,), is true: int64."""
    if mask.device.type == "cpu":  # numpy takes 40 % of torch's time
        return torch.from_numpy(mask.numpy().nonzero()[0])
    return mask.nonzero().squeeze(1)


def _inputs(rows: torch.Tensor, tap: int) -> torch.Tensor:
    """Number of the site that a tap meets, -1 where there is none."""
    return torch.where(_meets(rows, tap), _number(rows, tap), -1)


def _meets(rows: torch.Tensor, tap: int) -> torch.Tensor:
    return (rows & (1 << tap)) > 0


def _number(rows: torch.Tensor, tap: int) -> torch.Tensor:
    """Number of the site that a tap meets, where it meets one."""
    number = rows >> 3
    for before in range(tap):
        number = number + ((rows >> before) & 1)
    return number
