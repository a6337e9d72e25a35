"""One number for each cell of a bounded grid, in the order of scan, first, second and third axis.

V sites, N cells.
"""

import math
from collections.abc import Sequence

import torch

from pvd_core.borders.errors import TooWideError
from pvd_core.sparse.interfaces import Triple

_MOST_CELLS = 1 << 62
_MOST_SITES = 1 << 28


def check_size(num_sites: int, shape: Triple, batch_size: int) -> None:
    """TooWideError where sites cannot be numbered in tap rows, or the cells of the grid and its border in int64."""
    if num_sites > _MOST_SITES:
        raise TooWideError(
            f"{num_sites:,} occupied cells: at most {_MOST_SITES:,} are supported; take larger cells or fewer scans at "
            "a time"
        )
    if batch_size * math.prod(size + 2 for size in shape) >= _MOST_CELLS:
        raise TooWideError(
            f"the points extend over {' x '.join(f'{size:,}' for size in shape)} cells in {batch_size} scans: expected "
            "fewer than 2^62 cells in all; remove points that lie far from the others, or take larger cells"
        )


def cell_keys(coords_N4: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """int64 (N,) of cells, int64 (N, 4): scan, then three indices inside `shape`."""
    keys_N = coords_N4[:, 0]
    for axis, size in enumerate(shape):
        keys_N = keys_N * size + coords_N4[:, axis + 1]
    return keys_N


def cells_of_keys(keys_N: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """The cells, int64 (N, 4), that have these `cell_keys`."""
    columns = []
    for size in reversed(shape):
        rest_N = torch.div(keys_N, size, rounding_mode="floor")
        columns.append(keys_N - rest_N * size)
        keys_N = rest_N
    return torch.stack((keys_N, *reversed(columns)), dim=1)


def bordered_keys(coords_N4: torch.Tensor, shape: Sequence[int], stride: Triple, shift: int) -> torch.Tensor:
    """Keys, int64 (N,), of cells at `coords * stride + shift` in the grid with a border of one empty cell on each side,
    which is at index 0. The border makes bounds checks for neighbours unnecessary."""
    keys_N = coords_N4[:, 0]
    for axis, size in enumerate(shape):
        keys_N = keys_N * (size + 2) + coords_N4[:, axis + 1] * stride[axis] + shift
    return keys_N


def keys_reached(coords_V4: torch.Tensor, stride: Triple, shape: Triple) -> list[torch.Tensor]:
    """Keys, int64 (V,) each, of the cells of `shape` whose receptive field, 3x3x3 with `stride` and padding 1, holds a
    site; with repeats."""
    keys = [coords_V4[:, 0]]
    for axis, (step, size) in enumerate(zip(stride, shape, strict=True)):
        # Output indices o that input index i reaches along an axis: i = o * step + tap - 1 for a tap 0, 1 or 2.
        fine_V = coords_V4[:, axis + 1]
        shifts = (-1, 0, 1) if step == 1 else (0, 1)
        candidates = [torch.div(fine_V + shift, step, rounding_mode="floor").clamp(0, size - 1) for shift in shifts]
        keys = [key_V * size + candidate_V for key_V in keys for candidate_V in candidates]
    return keys


def reached_cells(coords_V4: torch.Tensor, stride: Triple, shape: Triple) -> torch.Tensor:
    """The cells of `keys_reached`, without repeats: int64, sorted."""
    return cells_of_keys(torch.cat(keys_reached(coords_V4, stride, shape)).unique(), shape)


def lies_inside(coords_N4: torch.Tensor, shape: Sequence[int], batch_size: int) -> torch.Tensor:
    """Whether cells, int64 (N, 4), are cells of the grid: bool (N,)."""
    is_inside_N = (coords_N4[:, 0] >= 0) & (coords_N4[:, 0] < batch_size)
    for axis, size in enumerate(shape):
        is_inside_N &= (coords_N4[:, axis + 1] >= 0) & (coords_N4[:, axis + 1] < size)
    return is_inside_N
