"""Which input row meets which output row under which kernel tap.

M pairs sorted by tap then output, K taps, V sites. Sites are sorted, so a tap's input rows ascend with its output rows.
"""

import itertools
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import torch

from pvd_core.sparse.tap_rows import middle_taps, rows_of_table, table_of_rows, transposed_rows

_T = TypeVar("_T")
_Pairs = tuple[torch.Tensor, torch.Tensor, tuple[int, ...]]


class KernelMap:
    """The pairs of one convolution; `transposed` swaps inputs and outputs (for inverse convolutions and gradients).

    A map has three forms: tap rows, a table and lists of pairs. Each is made when it is first asked for. Making the tap
    rows and the table does not wait for the device, as neither depends on the number of pairs.
    """

    def __init__(
        self,
        num_taps: int,
        num_in: int,
        num_out: int,
        find_rows: Callable[[], torch.Tensor],
        row_length: int,
        is_symmetric: bool = False,
        find_back: Callable[[], torch.Tensor] | None = None,
    ) -> None:
        """`find_rows()` gives tap rows of `row_length` taps (pvd_core/sparse/tap_rows.py), `find_back()` those of the
        transposed map, which are derived from the former where it is None. A map is symmetric when its
        input sites are its output sites: if tap k leads from i to o, tap K - 1 - k leads from o to i."""
        self.num_taps, self.num_in, self.num_out = num_taps, num_in, num_out
        self.is_transposed = False
        self._find_rows, self._row_length, self._is_symmetric = find_rows, row_length, is_symmetric
        self._find_back = find_back
        # A map and its transposed map share the caches but hold no reference to each other. So their memory is freed
        # with the last of the two, and not when Python next collects cycles, some large clouds later.
        self._caches: dict[bool, dict[Hashable, Any]] = {False: {}, True: {}}

    @staticmethod
    def from_table(table_KV: torch.Tensor, num_in: int) -> "KernelMap":
        """`table_KV` int32 (K, V_out): input row of each tap and output, -1 where there is none."""
        num_taps, num_out = table_KV.shape
        result = KernelMap(num_taps, num_in, num_out, lambda: rows_of_table(table_KV), row_length=1)
        result.cached("table", lambda: table_KV)
        return result

    @property
    def in_index_M(self) -> torch.Tensor:
        """Input row of each pair, int32."""
        return self._pairs[0]

    @property
    def out_index_M(self) -> torch.Tensor:
        """Output row of each pair, int32."""
        return self._pairs[1]

    @property
    def num_pairs_K(self) -> tuple[int, ...]:
        """Number of pairs of each tap."""
        return self._pairs[2]

    @property
    def num_pairs(self) -> int:
        return self.in_index_M.shape[0]

    def table(self) -> torch.Tensor:
        """Input row of each tap and output, int32 (K, V_out), -1 where there is none. Does not wait for the device."""
        return self.cached("table", self._make_table)

    @property
    def tap_rows(self) -> tuple[torch.Tensor, int]:
        """(tap rows, taps of a row), int32 (J, V_out). Those of a transposed map are in reverse order of its taps."""
        return self._rows, self._row_length

    @property
    def transposed(self) -> "KernelMap":
        """The map with the same pairs, inputs and outputs swapped."""
        result = KernelMap(
            self.num_taps,
            self.num_out,
            self.num_in,
            self._find_rows,
            self._row_length,
            self._is_symmetric,
            self._find_back,
        )
        result.is_transposed = not self.is_transposed
        result._caches = self._caches
        return result

    def subset(self, rows: list[int], takes_middle: bool) -> "KernelMap":
        """The map of some rows of taps: of all taps in them, or only of the middle ones. `rows` are in ascending order;
        for a symmetric map there are as many before the centre as after it."""
        length = 1 if takes_middle else self._row_length

        def find_rows() -> torch.Tensor:
            rows_JV = self._rows[rows]
            return middle_taps(rows_JV) if takes_middle else rows_JV

        return KernelMap(len(rows) * length, self.num_in, self.num_out, find_rows, length, self._is_symmetric)

    def cached(self, key: Hashable, build: Callable[[], _T]) -> _T:
        """What `build()` returns, computed once for each `key` and kept with the map. Backends keep here what they
        derive from the map."""
        cache = self._caches[self.is_transposed]
        if key not in cache:
            cache[key] = build()
        return cache[key]

    @property
    def _pairs(self) -> _Pairs:
        return self.cached("pairs", self._list_pairs)

    def _list_pairs(self) -> _Pairs:
        if not self.is_transposed:
            return _pairs_of_table(self.table())
        in_index_M, out_index_M, num_pairs_K = self.transposed._pairs
        return out_index_M, in_index_M, num_pairs_K

    @property
    def _rows(self) -> torch.Tensor:
        """Tap rows; those of a transposed map are in reverse order of its taps."""
        return self.cached("rows", self._make_rows)

    def _make_rows(self) -> torch.Tensor:
        if not self.is_transposed:
            return self._find_rows()
        if self._is_symmetric:
            return self.transposed._rows
        if self._find_back is not None:
            return self._find_back()
        return transposed_rows(self.transposed._rows, self._row_length, self.num_out)

    def _make_table(self) -> torch.Tensor:
        if not self.is_transposed:
            return table_of_rows(self._rows, self._row_length)
        table_KV = self.transposed.table()
        # Cells without a pair write to an extra last column, which is cut off.
        columns_KV = torch.where(table_KV >= 0, table_KV, self.num_out).long()
        rows_KV = torch.arange(self.num_in, dtype=torch.int32, device=table_KV.device).expand_as(table_KV)
        result_KV = table_KV.new_full((self.num_taps, self.num_out + 1), -1).scatter_(1, columns_KV, rows_KV)
        return result_KV[:, :-1].contiguous()


def _pairs_of_table(table_KV: torch.Tensor) -> _Pairs:
    """(in_index_M, out_index_M, num_pairs_K) of a table."""
    num_taps, num_out = table_KV.shape
    cells_M = (table_KV >= 0).view(-1).nonzero().squeeze(1)
    last_cells_K = torch.arange(1, num_taps + 1, device=table_KV.device) * num_out
    ends = [0, *torch.searchsorted(cells_M, last_cells_K).tolist()]
    in_index_M = table_KV.view(-1).index_select(0, cells_M)
    return in_index_M, (cells_M % max(num_out, 1)).int(), tuple(end - start for start, end in itertools.pairwise(ends))
