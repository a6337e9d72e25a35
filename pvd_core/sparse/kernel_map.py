"""Which input row meets which output row under which kernel tap.

M pairs sorted by tap then output, K taps, V sites.
"""

import torch


class KernelMap:
    """The pairs of one convolution; `transposed` runs the same pairs backwards (inverse convolution, gradients).

    It starts as a table, and lists of pairs are made when they are first asked for: only they must know their length,
    and so wait for the device.
    """

    def __init__(self, num_taps, num_in, num_out, cache):
        self.num_taps, self.num_in, self.num_out = num_taps, num_in, num_out
        self._cache = cache

    @staticmethod
    def from_table(table_KV, num_in):
        """`table_KV` int32 (K, V_out): input row of each tap and output, -1 where there is none. Within a tap input
        rows ascend with output rows."""
        return KernelMap(table_KV.shape[0], num_in, table_KV.shape[1], {"table": table_KV})

    @property
    def in_index_M(self):
        """Input row of each pair, int64."""
        return self.cached("pairs", self._pairs)[0]

    @property
    def out_index_M(self):
        """Output row of each pair, int64."""
        return self.cached("pairs", self._pairs)[1]

    @property
    def num_pairs_K(self):
        """Number of pairs of each tap, a tuple."""
        return self.cached("pairs", self._pairs)[2]

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
    def transposed(self):
        return self.cached(
            "transposed", lambda: KernelMap(self.num_taps, self.num_out, self.num_in, {"transposed": self})
        )

    def table(self):
        """Input row of each tap and output, int32 (K, V_out), -1 where there is none. Does not wait for the device."""
        return self.cached("table", self._transposed_table)

    @property
    def pairs_by_output(self):
        """(pair numbers sorted by output then tap, first pair of each output): int64 (M,), int64 (V_out,)."""
        return self.cached("pairs_by_output", self._pairs_by_output)

    def padded_in_index(self, num_rows):
        """`in_index_M` followed by zeros, at least `num_rows` long."""
        padded = self._cache.get("padded_in_index", self.in_index_M)
        if len(padded) < num_rows:
            padded = torch.cat((self.in_index_M, self.in_index_M.new_zeros(num_rows - self.num_pairs)))
            self._cache["padded_in_index"] = padded
        return padded

    def cached(self, key, build):
        """What `build()` returns, computed once and kept with the map: for what a backend derives from it."""
        if key not in self._cache:
            self._cache[key] = build()
        return self._cache[key]

    def _pairs(self):
        if "table" not in self._cache:
            in_index_M, out_index_M, num_pairs_K = self.transposed.cached("pairs", self.transposed._pairs)
            return out_index_M, in_index_M, num_pairs_K
        table_KV = self._cache["table"]
        is_pair_KV = table_KV >= 0
        cells_M = is_pair_KV.view(-1).nonzero().squeeze(1)
        in_index_M = table_KV.view(-1)[cells_M].long()
        return in_index_M, cells_M % max(self.num_out, 1), tuple(is_pair_KV.sum(dim=1).tolist())

    def _transposed_table(self):
        """The table of a map that was made as another one's transposed."""
        table_KV = self.transposed.table()
        # Cells without a pair write to one column too many.
        in_rows_KV = torch.where(table_KV >= 0, table_KV, self.num_out).long()
        out_rows_KV = torch.arange(self.num_in, dtype=torch.int32, device=table_KV.device).expand_as(table_KV)
        result_KV = table_KV.new_full((self.num_taps, self.num_out + 1), -1).scatter_(1, in_rows_KV, out_rows_KV)
        return result_KV[:, :-1].contiguous()

    def _pairs_by_output(self):
        is_pair_KV = self.table() >= 0
        # Pair numbers run along taps; read along outputs, they are the order in which sums are taken.
        pair_number_KV = is_pair_KV.view(-1).cumsum(0).view_as(is_pair_KV) - 1
        num_taps_V = is_pair_KV.sum(dim=0)
        return pair_number_KV.t()[is_pair_KV.t()], num_taps_V.cumsum(0) - num_taps_V
