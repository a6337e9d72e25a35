"""Runs: successive taps of an output row that meet successive input rows, multiplied together as one longer row.

J rows of 1 or 3 taps, Q parts of a row that may be a run, V output rows, R runs of 1 to 3 taps. Sites and taps are both
sorted with z fastest, so neighbours of an output that lie one above the other make a run.
"""

from dataclasses import dataclass

import numpy as np
import torch

# (first tap, taps, mask of the bits of a row that decide whether it has such a run, their value if so), shortest first.
_PARTS = (
    (0, 1, 0b011, 0b001),
    (1, 1, 0b111, 0b010),
    (2, 1, 0b110, 0b100),
    (0, 2, 0b111, 0b011),
    (1, 2, 0b111, 0b110),
    (0, 3, 0b111, 0b111),
)
_THIRD_TAP = 2  # Index of the only part that may be the second run of a row.


@dataclass(frozen=True)
class Runs:
    """All pairs of a kernel map, each in one run. Runs of the same taps lie together, sorted by output."""

    groups: tuple[tuple[int, int, int], ...]  # (first tap, taps, runs) of those that lie together
    first_in_R: torch.Tensor  # int32, input row of each run's first tap; that of the next tap is the next row
    out_index_R: torch.Tensor  # int32, output row of each run
    run_numbers_R: torch.Tensor  # int32, runs sorted by output, then by taps
    first_run_V: torch.Tensor  # int32, where in `run_numbers_R` each output starts


def runs_of_rows(tap_rows_JV: torch.Tensor, length: int) -> Runs:
    """The Runs of tap rows of `length` taps (pvd_core/sparse/tap_rows.py), on the device of the rows. Built on the host
    with NumPy, which takes a third of torch's time."""
    device, rows_JV = tap_rows_JV.device, tap_rows_JV.cpu().numpy()
    num_rows, num_out = rows_JV.shape
    patterns_JV = rows_JV.astype(np.uint8) & 7
    parts = _PARTS if length > 1 else _PARTS[:1]
    starts_QJV = np.stack([(patterns_JV & mask) == value for _, _, mask, value in parts])
    starts_R = np.flatnonzero(starts_QJV)
    bounds = np.searchsorted(starts_R, np.arange(len(parts) * num_rows + 1) * num_out)
    counts = np.diff(bounds)
    taps = [(row * length + first, size) for first, size, _, _ in parts for row in range(num_rows)]

    cells_R = starts_R - np.repeat(np.arange(len(parts)) * patterns_JV.size, np.diff(bounds[::num_rows]))
    out_index_R = starts_R - np.repeat(np.arange(len(counts)) * num_out, counts)
    cell_rows_R = rows_JV.ravel().take(cells_R)
    first_run_V, first_run_JV = _first_runs(patterns_JV)
    places_R = first_run_JV.ravel().take(cells_R)
    first_in_R = cell_rows_R >> 3
    if length > 1:  # Where the first tap is a run of its own and the second meets nothing, the third is a second run.
        third_taps = slice(*bounds[[_THIRD_TAP * num_rows, (_THIRD_TAP + 1) * num_rows]])
        is_second_run = cell_rows_R[third_taps] & 1
        first_in_R[third_taps] += is_second_run
        places_R[third_taps] += is_second_run
    run_numbers_R = np.empty(len(places_R), np.int32)
    run_numbers_R[places_R] = np.arange(len(places_R), dtype=np.int32)
    return Runs(
        tuple((*group, count) for group, count in zip(taps, counts.tolist(), strict=True) if count),
        *(
            torch.from_numpy(numbers.astype(np.int32, copy=False)).to(device)
            for numbers in (first_in_R, out_index_R, run_numbers_R, first_run_V)
        ),
    )


def _first_runs(patterns_JV: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number of the first run of each output, (V,), and of each row of it, (J, V), when runs are sorted by output, then
    by row."""
    num_runs_JV = (patterns_JV > 0).view(np.uint8) + (patterns_JV == 0b101)
    before_JV = np.zeros(patterns_JV.shape, np.int32)
    # `np.cumsum` along this axis takes 20 times as long.
    for row in range(1, len(before_JV)):
        np.add(before_JV[row - 1], num_runs_JV[row - 1], out=before_JV[row])
    num_runs_V = before_JV[-1] + num_runs_JV[-1]
    first_run_V = np.cumsum(num_runs_V, dtype=np.int32) - num_runs_V
    before_JV += first_run_V
    return first_run_V, before_JV
