"""Which site lies in which cell of a grid that is too large for a table: sites are searched for by sorted keys.

V sites, N cells.
"""

import functools

import torch

from pvd_core.sparse.cell_keys import bordered_keys, lies_inside
from pvd_core.sparse.interfaces import Triple
from pvd_core.sparse.tap_rows import LENGTH

_ONE = (1, 1, 1)
_ALL_TAPS = (1 << LENGTH) - 1
_NO_KEY = 1 << 62  # keys of cells are smaller


class SortedCells:
    """Looks up sites by their cells, as CellTable (pvd_core/sparse/cell_table.py). It takes 8 bytes a site."""

    def __init__(self, coords_V4: torch.Tensor, shape: Triple, batch_size: int) -> None:
        """`coords_V4` int64 (V, 4): scan, then three indices inside `shape`; distinct, sorted."""
        self._coords_V4 = coords_V4
        self._shape = shape
        self._batch_size = batch_size

    def look_up(self, centres_V4: torch.Tensor, stride: Triple) -> torch.Tensor:
        """As CellTable.look_up."""
        _, size_1, size_2 = (size + 2 for size in self._shape)
        lowest_V = bordered_keys(centres_V4, self._shape, stride, 0)
        result_JV = torch.empty(9, len(centres_V4), dtype=torch.int32, device=centres_V4.device)
        for number, row_V in enumerate(result_JV):
            i, j = divmod(number, 3)
            torch.add(*self._sites_from(lowest_V + (i * size_1 + j) * size_2), out=row_V)
        return result_JV

    def find(self, coords_N4: torch.Tensor) -> torch.Tensor:
        """As CellTable.find."""
        keys_N = bordered_keys(coords_N4, self._shape, _ONE, 1)
        number_N = torch.searchsorted(self._keys, keys_N)
        is_found_N = self._keys.index_select(0, number_N) == keys_N
        return torch.where(is_found_N & lies_inside(coords_N4, self._shape, self._batch_size), number_N, -1)

    @functools.cached_property
    def _keys(self) -> torch.Tensor:
        """Key of each site, then keys that no cell has, as many as a row has taps: int64 (V + 3,), ascending."""
        return torch.nn.functional.pad(bordered_keys(self._coords_V4, self._shape, _ONE, 1), (0, LENGTH), value=_NO_KEY)

    def _sites_from(self, keys_N: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The two parts of the tap rows, int32 (N,), of cells and the two above each: the first site's, the taps'."""
        number_N = torch.searchsorted(self._keys, keys_N)
        taps_N = torch.zeros_like(keys_N, dtype=torch.int32)
        for place in range(LENGTH):
            tap_N = (self._keys.index_select(0, number_N + place) - keys_N).clamp_(max=LENGTH).int()
            taps_N |= (1 << tap_N) & _ALL_TAPS
        return torch.where(taps_N > 0, number_N * 8, 0).int(), taps_N
