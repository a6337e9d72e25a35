"""Which input row meets which output row under which kernel tap.

M pairs sorted by tap then output, K taps, V sites. Sites are sorted, so a tap's input rows ascend with its output rows.
"""

import itertools

import torch

from pvd_core.sparse.runs import runs_of_table


class KernelMap:
    """The pairs of one convolution; `transposed` runs the same pairs backwards (inverse convolution, gradients).

    A map has three forms, a table, lists of pairs and runs, and each is made when it is first asked for: only the table
    need not know how many pairs there are, and so does not wait for the device.
    """

    def __init__(self, num_taps, num_in, num_out, find_table, is_symmetric=False, find_runs=None):
        """`find_table()` gives what `table` returns. `find_runs()` gives the runs of the map as it is built, or None
        where only the table has them. A symmetric map goes from sites to themselves, tap K - 1 - k of o -> i where tap
        k is of i -> o."""
        self.num_taps, self.num_in, self.num_out = num_taps, num_in, num_out
        self.is_transposed = False
        self._find_table, self._is_symmetric, self._find_runs = find_table, is_symmetric, find_runs
        # A map and its transposed share these and do not know each other: with the last one of them all is freed at
        # once, and not when Python next looks for cycles, some large clouds later.
        self._caches = {False: {}, True: {}}

    @staticmethod
    def from_table(table_KV, num_in):
        """`table_KV` int32 (K, V_out): input row of each tap and output, -1 where there is none."""
        num_taps, num_out = table_KV.shape
        return KernelMap(num_taps, num_in, num_out, lambda: table_KV)

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
        return self.cached("runs", self._make_runs)

    @property
    def transposed(self):
        result = KernelMap(
            self.num_taps, self.num_out, self.num_in, self._find_table, self._is_symmetric, self._find_runs
        )
        result.is_transposed = not self.is_transposed
        result._caches = self._caches
        return result

    def subset(self, taps):
        """The map of some of the taps, a list in ascending order; of a symmetric map as many before as after the
        centre."""
        return KernelMap(
            len(taps),
            self.num_in,
            self.num_out,
            find_table=lambda: self.table()[taps],
            is_symmetric=self._is_symmetric,
            find_runs=lambda: self.runs.subset(taps),
        )

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

    def _make_table(self):
        if not self.is_transposed:
            return self._find_table()
        table_KV = self.transposed.table()
        # Cells without a pair write to one column too many.
        columns_KV = torch.where(table_KV >= 0, table_KV, self.num_out).long()
        rows_KV = torch.arange(self.num_in, dtype=torch.int32, device=table_KV.device).expand_as(table_KV)
        result_KV = table_KV.new_full((self.num_taps, self.num_out + 1), -1).scatter_(1, columns_KV, rows_KV)
        return result_KV[:, :-1].contiguous()

    def _make_runs(self):
        if self.is_transposed:
            return runs_of_table(self.table().flip(0))
        runs = self._find_runs() if self._find_runs else None
        return runs or runs_of_table(self.table())


def _pairs_of_table(table_KV):
    """(in_index_M, out_index_M, num_pairs_K) of a table."""
    num_taps, num_out = table_KV.shape
    cells_M = (table_KV >= 0).view(-1).nonzero().squeeze(1)
    last_cells_K = torch.arange(1, num_taps + 1, device=table_KV.device) * num_out
    ends = [0, *torch.searchsorted(cells_M, last_cells_K).tolist()]
    in_index_M = table_KV.view(-1).index_select(0, cells_M)
    return in_index_M, (cells_M % max(num_out, 1)).int(), tuple(end - start for start, end in itertools.pairwise(ends))
