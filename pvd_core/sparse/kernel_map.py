"""Which input row meets which output row under which kernel tap.

M pairs sorted by tap then output, K taps, V sites.
"""

from dataclasses import dataclass, field

import torch


@dataclass(frozen=True)
class KernelMap:
    """The pairs of one convolution; `transposed` runs the same pairs backwards (inverse convolution, gradients)."""

    in_index_M: torch.Tensor  # int64
    out_index_M: torch.Tensor  # int64
    num_pairs_K: tuple[int, ...]
    num_in: int
    num_out: int
    _cache: dict = field(default_factory=dict, repr=False, compare=False)

    @staticmethod
    def from_table(table_KV, num_in):
        """`table_KV` int32 (K, V_out): input row of each tap and output, -1 where there is none."""
        num_out = table_KV.shape[1]
        is_pair_KV = table_KV >= 0
        cells_M = is_pair_KV.view(-1).nonzero().squeeze(1)
        kernel_map = KernelMap(
            in_index_M=table_KV.view(-1)[cells_M].long(),
            out_index_M=cells_M % max(num_out, 1),
            num_pairs_K=tuple(is_pair_KV.sum(dim=1).tolist()),
            num_in=num_in,
            num_out=num_out,
        )
        kernel_map._cache["table"] = table_KV
        # Pair numbers run along taps; read along outputs, they are the order in which sums are taken.
        pair_number_KV = is_pair_KV.view(-1).cumsum(0).view_as(table_KV) - 1
        num_taps_V = is_pair_KV.sum(dim=0)
        kernel_map._cache["pairs_by_output"] = (
            pair_number_KV.t()[is_pair_KV.t()],
            num_taps_V.cumsum(0) - num_taps_V,
        )
        return kernel_map

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

    def cached(self, key, build):
        """What `build()` returns, computed once and kept with the map: for what a backend derives from it."""
        if key not in self._cache:
            self._cache[key] = build()
        return self._cache[key]

    def padded_in_index(self, num_rows):
        """`in_index_M` followed by zeros, at least `num_rows` long."""
        padded = self._cache.get("padded_in_index", self.in_index_M)
        if len(padded) < num_rows:
            padded = torch.cat((self.in_index_M, self.in_index_M.new_zeros(num_rows - self.num_pairs)))
            self._cache["padded_in_index"] = padded
        return padded

    @property
    def transposed(self):
        if "transposed" not in self._cache:
            self._cache["transposed"] = KernelMap(
                self.out_index_M, self.in_index_M, self.num_pairs_K, self.num_out, self.num_in, {"transposed": self}
            )
        return self._cache["transposed"]

    def table(self):
        """Input row of each tap and output, int32 (K, V_out), -1 where there is none."""
        if "table" not in self._cache:
            taps_K = torch.arange(len(self.num_pairs_K), device=self.out_index_M.device)
            taps_M = taps_K.repeat_interleave(torch.tensor(self.num_pairs_K, device=taps_K.device))
            table = torch.full((len(taps_K), self.num_out), -1, dtype=torch.int32, device=taps_K.device)
            table[taps_M, self.out_index_M] = self.in_index_M.int()
            self._cache["table"] = table
        return self._cache["table"]

    @property
    def pairs_by_output(self):
        """(pair numbers sorted by output then tap, first pair of each output): int64 (M,), int64 (V_out,)."""
        if "pairs_by_output" not in self._cache:
            order_M = torch.sort(self.out_index_M.int(), stable=True).indices
            counts_V = torch.bincount(self.out_index_M, minlength=self.num_out)
            self._cache["pairs_by_output"] = order_M, counts_V.cumsum(0) - counts_V
        return self._cache["pairs_by_output"]
