"""What networks and layers need of sites, kernel maps and backends, whichever class or module provides it.

V sites, N cells, I input channels, O output channels, K kernel taps.
"""

from collections.abc import Callable, Hashable
from typing import Any, Protocol, TypeVar

import torch

_T = TypeVar("_T")

# One number for each axis of the grid: rho, phi, z; or x, y, z.
Triple = tuple[int, int, int]


class AnyMap(Protocol):
    """Which input row meets which output row under which tap: a KernelMap, or the map that a backend built itself."""

    @property
    def num_in(self) -> int: ...

    @property
    def num_out(self) -> int: ...

    @property
    def num_pairs_K(self) -> tuple[int, ...]:
        """Number of pairs of each tap."""
        ...

    @property
    def transposed(self) -> "AnyMap":
        """The same pairs with inputs and outputs swapped."""
        ...


class Backend(Protocol):
    """A module that computes convolutions; pvd_core/sparse/backends/__init__.py says what else it may have."""

    def convolve(self, features_VI: torch.Tensor, weight_KIO: torch.Tensor, kernel_map: Any) -> torch.Tensor:
        """Features of the output sites, (V_out, O). `kernel_map` is one that Sites with this backend gave."""
        ...


class FusingBackend(Backend, Protocol):
    """A backend that can also apply an Epilogue to its sums."""

    def convolve_fused(
        self,
        features_VI: torch.Tensor,
        weight_KIO: torch.Tensor,
        kernel_map: Any,
        bias: torch.Tensor | None = None,
        negative_slope: float | None = None,
        scale: torch.Tensor | None = None,
        shift: torch.Tensor | None = None,
        added: torch.Tensor | None = None,
        activates_last: bool = False,
    ) -> torch.Tensor: ...


class AnySites(Protocol):
    """The sites of one resolution: Sites, or FixedSites (pvd_core/programs) in its place."""

    @property
    def backend(self) -> Backend: ...

    @property
    def num_sites(self) -> int: ...

    @property
    def coords_V4(self) -> torch.Tensor:
        """int64 (V, 4): scan and an index along each axis; scan -1 for rows that are no site."""
        ...

    def map(self, kernel: Triple, stride: Triple = (1, 1, 1)) -> AnyMap:
        """The map of a convolution. With stride 1 its output sites are these sites; else they are those of `coarse`."""
        ...

    def coarse(self, kernel: Triple, stride: Triple) -> "AnySites":
        """The output sites of `map(kernel, stride)`."""
        ...

    def find(self, coords_N4: torch.Tensor) -> torch.Tensor:
        """The row of the site in each cell (scan, then three indices), int64 (N,); -1 where there is none."""
        ...

    def cached(self, key: Hashable, build: Callable[[], _T]) -> _T:
        """What `build()` returns, computed once for each `key` and kept with these sites. It must depend on coordinates
        alone, and hold no reference to these sites."""
        ...
