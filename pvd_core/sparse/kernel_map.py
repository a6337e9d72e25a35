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
        is_pair_KV = table_KV >= 0
        return KernelMap(
            in_index_M=table_KV[is_pair_KV].long(),
            out_index_M=is_pair_KV.nonzero()[:, 1],
            num_pairs_K=tuple(is_pair_KV.sum(dim=1).tolist()),
            num_in=num_in,
            num_out=table_KV.shape[1],
        )

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
        if "transposed" not in self._cache:
            self._cache["transposed"] = KernelMap(
                self.out_index_M, self.in_index_M, self.num_pairs_K, self.num_out, self.num_in, {"transposed": self}
            )
        return self._cache["transposed"]

    @property
    def pairs_by_output(self):
        """(pair numbers sorted by output then tap, first pair of each output): int64 (M,), int64 (V_out,)."""
        if "pairs_by_output" not in self._cache:
            order_M = torch.argsort(self.out_index_M, stable=True)
            counts_V = torch.bincount(self.out_index_M, minlength=self.num_out)
            self._cache["pairs_by_output"] = order_M, counts_V.cumsum(0) - counts_V
        return self._cache["pairs_by_output"]
