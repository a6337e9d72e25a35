"""The floor: the multiply-accumulates of a network as bare matrix products, with operands in place and nothing else.

N rows, I input channels, O output channels.
"""

import math
import timeit
from collections.abc import Callable, Iterable, Sequence

import torch

from pvd_core.models.macs import LayerCost
from pvd_core.programs.static_function import StaticFunction
from pvd_core.runtime import onednn
from pvd_core.runtime.precision import PRECISIONS, computing_in

# On a CPU, products are fastest when their operands stay in the cache.
_PIECE_BYTES = 1 << 21
_TRIALS = 5

_Shape = tuple[int, int, int]  # of a product: rows, input channels, output channels


class BareProducts:
    """For each layer, multiplies as many rows by one matrix as the layer has pairs in all its taps: on a CPU in pieces
    that stay in the cache, on a GPU at once."""

    def __init__(self, costs: Sequence[LayerCost], precision: str, device: torch.device) -> None:
        dtype = PRECISIONS[precision] or torch.float32
        self._precision, self._device = precision, device
        shapes_of = {cost.name: _shapes(cost, dtype, device) for cost in costs}
        shapes = sorted({shape for of_layer in shapes_of.values() for shape in of_layer})
        # The layers share these; only the shapes of their views differ.
        self._operands, self._results = (
            torch.randn(max((shape[0] * shape[side] for shape in shapes), default=0), dtype=dtype, device=device)
            for side in (1, 2)
        )
        product_of = {shape: self._product(*shape) for shape in shapes}
        self._products = {name: [product_of[shape] for shape in of_layer] for name, of_layer in shapes_of.items()}
        # As a CUDA graph, because launching small products from Python takes longer than they do.
        self._run_all = StaticFunction(lambda _: self._multiply(self._products), 1, device, device.type == "cuda")

    def run(self) -> None:
        """Multiplies for all layers."""
        self._run_all()

    def run_layer(self, name: str) -> None:
        """Multiplies for the layer of this name."""
        self._multiply([name])

    @torch.inference_mode()
    def _multiply(self, names: Iterable[str]) -> None:
        with computing_in(self._precision, self._device.type, keeps_casts=False):
            for name in names:
                for product in self._products[name]:
                    product()

    def _product(self, num_rows: int, in_channels: int, out_channels: int) -> Callable[[], object]:
        rows_NI = self._operands[: num_rows * in_channels].view(num_rows, in_channels)
        result_NO = self._results[: num_rows * out_channels].view(num_rows, out_channels)
        matrix_IO = torch.randn(in_channels, out_channels, dtype=rows_NI.dtype, device=rows_NI.device)
        candidates: list[Callable[[], object]] = [lambda: torch.mm(rows_NI, matrix_IO, out=result_NO)]
        if onednn.is_usable_for(rows_NI):
            matrix_OI = matrix_IO.t().contiguous()
            candidates.append(lambda: onednn.product(rows_NI, matrix_OI))
        return min(candidates, key=_best_time) if len(candidates) > 1 else candidates[0]


def _shapes(cost: LayerCost, dtype: torch.dtype, device: torch.device) -> list[_Shape]:
    """The products that together are a layer."""
    num_rows, channels = sum(cost.rows), (cost.in_channels, cost.out_channels)
    most = max(num_rows, 1)
    if device.type != "cuda":
        most = 1 << math.floor(math.log2(max(_PIECE_BYTES // (dtype.itemsize * sum(channels)), 1)))
    whole, rest = divmod(num_rows, most)
    return [(most, *channels)] * whole + [(rest, *channels)] * (rest > 0)


@torch.inference_mode()
def _best_time(function: Callable[[], object]) -> float:
    return min(timeit.repeat(function, number=1, repeat=_TRIALS))
