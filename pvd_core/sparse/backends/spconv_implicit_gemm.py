"""spconv's kernel maps on GPUs: neighbour tables with rows sorted by their sets of taps, for implicit GEMM.

V sites, K taps, I input channels, O output channels.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from spconv import constants
from spconv.core import ConvAlgo
from spconv.pytorch import functional, ops

from pvd_core.sparse.backends.spconv_problem import Problem


@dataclass(frozen=True, eq=False)
class _Direction:
    """Input row of each tap and output, int32 (K, V), -1 where there is none; and, one of each a split of the taps, the
    bits of the taps that an output has, and the outputs sorted by them. Backwards a submanifold map has only rows."""

    rows_KV: torch.Tensor
    tap_bits: list[torch.Tensor]
    order: list[torch.Tensor]


@dataclass(frozen=True, eq=False)
class ImplicitGemmMap:
    problem: Problem
    forward: _Direction
    backward: _Direction  # empty where `has_backward` is not set, as spconv builds submanifold maps for inference
    tap_masks: list[np.ndarray]
    num_in: int
    num_out: int
    has_backward: bool

    @staticmethod
    def build(problem):
        """(coarse sites' indices_V4, or the same sites', ImplicitGemmMap to them)."""
        # The map of a strided convolution runs backwards in the decoder, so spconv makes all of it for inference too.
        return _build(problem, has_backward=torch.is_grad_enabled() or not problem.is_submanifold)

    @property
    def num_pairs_K(self):
        """Number of pairs of each tap, a tuple; waits for the GPU."""
        return tuple((self.forward.rows_KV >= 0).sum(dim=1).tolist())

    @cached_property
    def transposed(self):
        return replace(self, forward=self.backward, backward=self.forward, num_in=self.num_out, num_out=self.num_in)

    @cached_property
    def with_backward(self):
        """This map, or the same built again where it was built for inference."""
        return self if self.has_backward else _build(self.problem, has_backward=True)[1]

    def convolve(self, features_VI, weight_OKI):
        with _set_for(features_VI):
            features_VO, _tap_bits_of_blocks, _rows_a_block = ops.implicit_gemm(
                features_VI,
                self.problem.weight(weight_OKI),
                self.forward.rows_KV,
                self.forward.tap_bits,
                self.forward.order,
                self.num_out,
                self.tap_masks,
                is_train=False,
                is_subm=self.problem.is_submanifold,
            )
        return features_VO

    def convolve_with_gradients(self, features_VI, weight_OKI):
        forward, backward = self.with_backward.forward, self.with_backward.backward
        is_train = True
        with _set_for(features_VI):
            return functional.implicit_gemm(
                features_VI,
                self.problem.weight(weight_OKI),
                forward.rows_KV,
                backward.rows_KV,
                forward.tap_bits,
                backward.tap_bits,
                forward.order,
                backward.order,
                self.num_out,
                self.tap_masks,
                is_train,
                self.problem.is_submanifold,
            )


def _build(problem, has_backward):
    arguments = problem.arguments(ConvAlgo.MaskImplicitGemm)
    with _set_for(problem.indices_V4):
        out_indices_V4, _, rows_KV, back_rows_KV, tap_bits, back_tap_bits, order, back_order, tap_masks = (
            ops.get_indice_pairs_implicit_gemm(*arguments, is_train=has_backward)
        )
    kernel_map = ImplicitGemmMap(
        problem,
        _Direction(rows_KV, tap_bits, order),
        _Direction(back_rows_KV, back_tap_bits, back_order),
        tap_masks,
        num_in=problem.num_in,
        num_out=out_indices_V4.shape[0],
        has_backward=has_backward,
    )
    return out_indices_V4, kernel_map


def _set_for(tensor):
    """A context in which spconv works where the tensor is, as it asks for the current GPU, and takes float32 products
    as torch does. It tunes each pair of channel counts once a process, and keeps to tf32 or not from then on."""
    constants.SPCONV_ALLOW_TF32 = torch.get_float32_matmul_precision() != "highest"
    return torch.cuda.device(tensor.device)
