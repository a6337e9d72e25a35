"""spconv's kernel maps on the CPU: lists of pairs, applied by gathering, multiplying and scattering.

V sites, K taps, I input channels, O output channels.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from spconv.core import ConvAlgo
from spconv.pytorch import ops

from pvd_core.sparse.backends.spconv_problem import Problem


@dataclass(frozen=True, eq=False)
class PairMap:
    """A kernel map as spconv builds it on the CPU. It has no gradients."""

    problem: Problem
    pairs_2KV: torch.Tensor  # int32, input and output row of each pair of each tap, then -1
    num_listed_K: torch.Tensor  # pairs of each tap; 0 for the centre and for taps that spconv mirrors from others
    num_in: int
    num_out: int
    is_inverse: bool = False

    @staticmethod
    def build(problem: Problem) -> "tuple[torch.Tensor, PairMap]":
        """(indices_V4 of the output sites, the map to them)."""
        out_indices_V4, pairs_2KV, num_listed_K = ops.get_indice_pairs(*problem.arguments(ConvAlgo.Native))
        return out_indices_V4, PairMap(problem, pairs_2KV, num_listed_K, problem.num_in, out_indices_V4.shape[0])

    @property
    def num_pairs_K(self) -> tuple[int, ...]:
        """Number of pairs of each tap."""
        return tuple((self.pairs_2KV[0] >= 0).sum(dim=1).tolist())

    @cached_property
    def transposed(self) -> "PairMap":
        """The map with the same pairs, inputs and outputs swapped."""
        return replace(self, num_in=self.num_out, num_out=self.num_in, is_inverse=not self.is_inverse)

    def convolve(self, features_VI: torch.Tensor, weight_OKI: torch.Tensor) -> torch.Tensor:
        """(num_out, O)."""
        return ops.indice_conv(
            features_VI,
            self.problem.weight(weight_OKI),
            self.pairs_2KV,
            self.num_listed_K,
            self.num_out,
            inverse=self.is_inverse,
            subm=self.problem.is_submanifold,
        )
