"""Which input row meets which output row under which kernel tap.

M pairs sorted by tap then output, K taps, V sites. Sites are sorted, so a tap's input rows ascend with its output rows.
"""

import itertools

import torch


class KernelMap:
    """The pairs of one convolution; `transposed` runs the same pairs backwards (inverse convolution, gradients).

    A map has two forms, a table and lists of pairs, and each is made when it is first asked for: only the lists must
    know their length, and so wait for the device.
    """

    def __init__(self, num_taps, num_in, num_out, find_table, find_pairs):
        """`find_table()` gives what `table` returns, `find_pairs()` (in_index_M, out_index_M, num_pairs_K)."""
        self.num_taps, self.num_in, self.num_out = num_taps, num_in, num_out
        self._find_table, self._find_pairs = find_table, find_pairs
        self._is_transposed = False
        # A map and its transposed share these and do not know each other: with the last one of them all is freed at
        # once, and not when Python next looks for cycles, some large clouds later.
        self._caches = {False: {}, True: {}}

    @staticmethod
    def from_table(table_KV, num_in):
        """`table_KV` int32 (K, V_out): input row of each tap and output, -1 where there is none."""
        num_taps, num_out = table_KV.shape
        return KernelMap(num_taps, num_in, num_out, lambda: table_KV, lambda: pairs_of_table(table_KV))

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

    @property
    def taps(self):
        """(tap, first pair, end of pairs) of every tap that has pairs."""
        start = 0
        for tap, count in enumerate(self.num_pairs_K):
            if count:
                yield tap, start, start + count
            start += count

    @property
    def own_pairs(self):
        """The slice of the pairs of the tap that pairs every row with its own number; an empty one without such a tap.
        Rows ascend, so a tap that pairs all rows does so in their order."""
        sizes = self.num_in, self.num_out
        return next(
            (slice(start, end) for _, start, end in self.taps if (end - start, end - start) == sizes), slice(0, 0)
        )

    def table(self):
        """Input row of each tap and output, int32 (K, V_out), -1 where there is none. Does not wait for the device."""
        return self.cached("table", self._make_table)

    @property
    def pairs_by_output(self):
        """(pair numbers sorted by output then tap, first pair of each output): int32 (M,), int32 (V_out,)."""
        return self.cached("pairs_by_output", self._sort_by_output)

    @property
    def transposed(self):
        result = KernelMap(self.num_taps, self.num_out, self.num_in, self._find_table, self._find_pairs)
        result._is_transposed = not self._is_transposed
        result._caches = self._caches
        return result

    def subset(self, taps):
        """The map of some of the taps, a list in ascending order."""
        return KernelMap(
            len(taps), self.num_in, self.num_out, lambda: self.table()[taps], lambda: self._pairs_of_taps(taps)
        )

    def padded_in_index(self, num_rows):
        """`in_index_M` followed by zeros, at least `num_rows` long."""
        cache = self._caches[self._is_transposed]
        padded = cache.get("padded_in_index", self.in_index_M)
        if len(padded) < num_rows:
            padded = torch.cat((self.in_index_M, self.in_index_M.new_zeros(num_rows - self.num_pairs)))
            cache["padded_in_index"] = padded
        return padded

    def cached(self, key, build):
        """What `build()` returns, computed once and kept with the map: for what a backend derives from it."""
        cache = self._caches[self._is_transposed]
        if key not in cache:
            cache[key] = build()
        return cache[key]

    @property
    def _pairs(self):
        return self.cached("pairs", self._list_pairs)

    def _list_pairs(self):
        if not self._is_transposed:
            return self._find_pairs()
        in_index_M, out_index_M, num_pairs_K = self.transposed._pairs
        return out_index_M, in_index_M, num_pairs_K

    def _make_table(self):
        if not self._is_transposed:
            return self._find_table()
        table_KV = self.transposed.table()
        # Cells without a pair write to one column too many.
        columns_KV = torch.where(table_KV >= 0, table_KV, self.num_out).long()
        rows_KV = torch.arange(self.num_in, dtype=torch.int32, device=table_KV.device).expand_as(table_KV)
        result_KV = table_KV.new_full((self.num_taps, self.num_out + 1), -1).scatter_(1, columns_KV, rows_KV)
        return result_KV[:, :-1].contiguous()

    def _pairs_of_taps(self, taps):
        ends = list(itertools.accumulate(self.num_pairs_K))
        parts = [slice(ends[tap] - self.num_pairs_K[tap], ends[tap]) for tap in taps]
        in_index_M, out_index_M = (torch.cat([index_M[part] for part in parts]) for index_M in self._pairs[:2])
        return in_index_M, out_index_M, tuple(self.num_pairs_K[tap] for tap in taps)

    def _sort_by_output(self):
        order_M = torch.sort(self.out_index_M, stable=True).indices.int()
        num_pairs_V = torch.bincount(self.out_index_M, minlength=self.num_out)
        return order_M, (num_pairs_V.cumsum(0) - num_pairs_V).int()


def pairs_of_table(table_KV):
    """(in_index_M, out_index_M, num_pairs_K) of a table."""
    num_taps, num_out = table_KV.shape
    cells_M = (table_KV >= 0).view(-1).nonzero().squeeze(1)
    last_cells_K = torch.arange(1, num_taps + 1, device=table_KV.device) * num_out
    ends = [0, *torch.searchsorted(cells_M, last_cells_K).tolist()]
    in_index_M = table_KV.view(-1).index_select(0, cells_M)
    return in_index_M, (cells_M % max(num_out, 1)).int(), tuple(end - start for start, end in itertools.pairwise(ends))


def symmetric_pairs(half_KV):
    """The same of a map from sites to themselves, whose taps lie symmetrically around a central one, from the half of
    its table that comes before that one: tap k of o -> i is tap K - 1 - k of i -> o."""
    in_index_M, out_index_M, num_pairs_K = pairs_of_table(half_KV)
    own_V = torch.arange(half_KV.shape[1], dtype=torch.int32, device=half_KV.device)
    in_parts, out_parts = list(in_index_M.split(num_pairs_K)), list(out_index_M.split(num_pairs_K))
    return (
        torch.cat([*in_parts, own_V, *reversed(out_parts)]),
        torch.cat([*out_parts, own_V, *reversed(in_parts)]),
        (*num_pairs_K, len(own_V), *reversed(num_pairs_K)),
    )
