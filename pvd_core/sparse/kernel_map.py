"""Which input row meets which output row under which kernel tap.

M pairs sorted by tap then output, K taps, V sites. Sites are sorted, so a tap's input rows ascend with its output rows.
"""

import itertools

import torch

from pvd_core.sparse.runs import runs_of_rows
from pvd_core.sparse.tap_rows import middle_taps, rows_of_table, table_of_rows, transposed_rows


class KernelMap:
    """The pairs of one convolution; `transposed` runs the same pairs backwards (inverse convolution, gradients).

    A map has several forms, tap rows, a table, lists of pairs and runs, and each is made when it is first asked for:
    the rows that it is built from and the table need not know how many pairs there are, so they do not wait for the
    device.
    """

    def __init__(self, num_taps, num_in, num_out, find_rows, row_length, is_symmetric=False):
        """`find_rows()` gives tap rows of `row_length` taps (pvd_core/sparse/tap_rows.py). A symmetric map goes from
        sites to themselves, tap K - 1 - k of o -> i where tap k is of i -> o."""
        self.num_taps, self.num_in, self.num_out = num_taps, num_in, num_out
        self.is_transposed = False
        self._find_rows, self._row_length, self._is_symmetric = find_rows, row_length, is_symmetric
        # A map and its transposed share these and do not know each other: with the last one of them all is freed at
        # once, and not when Python next looks for cycles, some large clouds later.
        self._caches = {False: {}, True: {}}

    @staticmethod
    def from_table(table_KV, num_in):
        """`table_KV` int32 (K, V_out): input row of each tap and output, -1 where there is none."""
        num_taps, num_out = table_KV.shape
        result = KernelMap(num_taps, num_in, num_out, lambda: rows_of_table(table_KV), row_length=1)
        result.cached("table", lambda: table_KV)
        return result

    @property
    def in_index_M(self):
        """Input row of each pair, int32."""
        return self._pairs[0]

    @property
    def out_index_M(self):
        """Output row of each pair, int32."""
        return self._pairs[1]

    @property
    def num_pairs_K(self):
        """Number of pairs of each tap, a tuple."""
        return self._pairs[2]

    @property
    def num_pairs(self):
        return self.in_index_M.shape[0]

    def table(self):
        """Input row of each tap and output, int32 (K, V_out), -1 where there is none. Does not wait for the device."""
        return self.cached("table", self._make_table)

    @property
    def runs(self):
        """The Runs of all pairs; of a transposed map in reverse order of its taps, in which its input rows ascend."""
        if self._is_symmetric and self.is_transposed:
            return self.transposed.runs
        return self.cached("runs", lambda: runs_of_rows(self._rows, self._row_length))

    @property
    def transposed(self):
        result = KernelMap(
            self.num_taps, self.num_out, self.num_in, self._find_rows, self._row_length, self._is_symmetric
        )
        result.is_transposed = not self.is_transposed
        result._caches = self._caches
        return result

    def subset(self, rows, takes_middle):
        """The map of some of the rows of taps, a list in ascending order, or of their middle taps alone; of a symmetric
        map as many before as after the centre."""
        length = 1 if takes_middle else self._row_length

        def find_rows():
            rows_JV = self._rows[rows]
            return middle_taps(rows_JV) if takes_middle else rows_JV

        return KernelMap(len(rows) * length, self.num_in, self.num_out, find_rows, length, self._is_symmetric)

    def cached(self, key, build):
        """What `build()` returns, computed once and kept with the map: for what a backend derives from it."""
        cache = self._caches[self.is_transposed]
        if key not in cache:
            cache[key] = build()
        return cache[key]

    @property
    def _pairs(self):
        return self.cached("pairs", self._list_pairs)

    def _list_pairs(self):
        if not self.is_transposed:
            return _pairs_of_table(self.table())
        in_index_M, out_index_M, num_pairs_K = self.transposed._pairs
        return out_index_M, in_index_M, num_pairs_K

    @property
    def _rows(self):
        """Tap rows; of a transposed map in reverse order of its taps."""
        return self.cached("rows", self._make_rows)

    def _make_rows(self):
        if not self.is_transposed:
            return self._find_rows()
        return transposed_rows(self.transposed._rows, self._row_length, self.num_out)

    def _make_table(self):
        if not self.is_transposed:
            return table_of_rows(self._rows, self._row_length)
        table_KV = self.transposed.table()
        # Cells without a pair write to one column too many.
        columns_KV = torch.where(table_KV >= 0, table_KV, self.num_out).long()
        rows_KV = torch.arange(self.num_in, dtype=torch.int32, device=table_KV.device).expand_as(table_KV)
        result_KV = table_KV.new_full((self.num_taps, self.num_out + 1), -1).scatter_(1, columns_KV, rows_KV)
        return result_KV[:, :-1].contiguous()


def _pairs_of_table(table_KV):
    """(in_index_M, out_index_M, num_pairs_K) of a table."""
    num_taps, num_out = table_KV.shape
    cells_M = (table_KV >= 0).view(-1).nonzero().squeeze(1)
    last_cells_K = torch.arange(1, num_taps + 1, device=table_KV.device) * num_out
    ends = [0, *torch.searchsorted(cells_M, last_cells_K).tolist()]
    in_index_M = table_KV.view(-1).index_select(0, cells_M)
    return in_index_M, (cells_M % max(num_out, 1)).int(), tuple(end - start for start, end in itertools.pairwise(ends))
