"""Kernel maps of spconv and spconv-triton, which have the same interface, on GPUs: neighbour tables with rows sorted by
their sets of taps, for implicit GEMM.

V sites, K taps, I input channels, O output channels.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from pvd_core.sparse.backends.spconv_problem import Problem
from pvd_core.sparse.derived import derived, forget


@dataclass(frozen=True)
class Package:
    """The modules of spconv, or those of the same names of spconv-triton."""

    ops: Any
    functional: Any
    constants: Any
    algorithm: Any  # ConvAlgo.MaskImplicitGemm


@dataclass(frozen=True, eq=False)
class _Direction:
    """The pairs of a map in one direction. The backward direction of a submanifold map has only `rows_KV`."""

    rows_KV: torch.Tensor  # int32, input row of each tap and output, -1 where there is none
    # spconv may split the taps in several parts; these lists have an item for each.
    tap_bits: list[torch.Tensor]  # the taps that each output has, as bits
    order: list[torch.Tensor]  # the outputs sorted by `tap_bits`


@dataclass(frozen=True, eq=False)
class ImplicitGemmMap:
    """A kernel map as the package builds it. Submanifold maps that are built for inference have no `backward`."""

    package: Package
    problem: Problem
    forward: _Direction
    backward: _Direction  # empty unless `has_backward`
    tap_masks: list[np.ndarray]
    num_in: int
    num_out: int
    has_backward: bool

    @staticmethod
    def build(problem: Problem, package: Package) -> "tuple[torch.Tensor, ImplicitGemmMap]":
        """(indices_V4 of the output sites, the map to them)."""
        # The decoder runs maps of strided convolutions backwards, so these need both directions for inference too.
        return _build(problem, package, has_backward=torch.is_grad_enabled() or not problem.is_submanifold)

    @property
    def num_pairs_K(self) -> tuple[int, ...]:
        """Number of pairs of each tap; waits for the GPU."""
        return tuple((self.forward.rows_KV >= 0).sum(dim=1).tolist())

    @cached_property
    def transposed(self) -> "ImplicitGemmMap":
        """The map with the same pairs, inputs and outputs swapped."""
        return replace(self, forward=self.backward, backward=self.forward, num_in=self.num_out, num_out=self.num_in)

    @cached_property
    def with_backward(self) -> "ImplicitGemmMap":
        """This map; if it was built for inference, the same map built again for training."""
        return self if self.has_backward else _build(self.problem, self.package, has_backward=True)[1]

    def convolve(self, features_VI: torch.Tensor, weight_KIO: torch.Tensor) -> torch.Tensor:
        """(num_out, O), differentiable in features and weight; `features_VI` is contiguous."""
        with _set_for(features_VI, self.package):
            if torch.is_grad_enabled() and (features_VI.requires_grad or weight_KIO.requires_grad):
                forget(weight_KIO)
                return self._with_gradients(features_VI, self.problem.weight(output_first(weight_KIO)))
            return self._inferred(features_VI, self.problem.weight(derived(weight_KIO, "spconv", output_first)))

    def _inferred(self, features_VI: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        features_VO, _tap_bits_of_blocks, _rows_a_block = self.package.ops.implicit_gemm(
            features_VI,
            weight,
            self.forward.rows_KV,
            self.forward.tap_bits,
            self.forward.order,
            self.num_out,
            self.tap_masks,
            is_train=False,
            is_subm=self.problem.is_submanifold,
        )
        return features_VO

    def _with_gradients(self, features_VI: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        forward, backward = self.with_backward.forward, self.with_backward.backward
        is_train = True
        return self.package.functional.implicit_gemm(
            features_VI,
            weight,
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


def output_first(weight_KIO: torch.Tensor) -> torch.Tensor:
    """The weight as both packages want it: contiguous (O, K, I)."""
    return weight_KIO.permute(2, 0, 1).clone(memory_format=torch.contiguous_format)


def _build(problem: Problem, package: Package, has_backward: bool) -> tuple[torch.Tensor, ImplicitGemmMap]:
    arguments = problem.arguments(package.algorithm)
    with _set_for(problem.indices_V4, package):
        out_indices_V4, _, rows_KV, back_rows_KV, tap_bits, back_tap_bits, order, back_order, tap_masks = (
            package.ops.get_indice_pairs_implicit_gemm(*arguments, is_train=has_backward)
        )
    kernel_map = ImplicitGemmMap(
        package,
        problem,
        _Direction(rows_KV, tap_bits, order),
        _Direction(back_rows_KV, back_tap_bits, back_order),
        tap_masks,
        num_in=problem.num_in,
        num_out=out_indices_V4.shape[0],
        has_backward=has_backward,
    )
    return out_indices_V4, kernel_map


def _set_for(tensor: torch.Tensor, package: Package) -> Any:
    """A context in which the package uses the tensor's GPU (it takes the current one) and tf32 if torch does. spconv
    tunes each pair of channel counts once a process, and its choice for or against tf32 stays."""
    package.constants.SPCONV_ALLOW_TF32 = torch.get_float32_matmul_precision() != "highest"
    return torch.cuda.device(tensor.device)
