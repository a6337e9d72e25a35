"""The floor: a network's multiply-accumulates as bare matrix products, on operands that lie ready.

N rows, I input channels, O output channels.
"""

import math
import time

import torch

from pvd_core import onednn

# On a CPU, products of rows that stay in the cache are the fastest.
_PIECE_BYTES = 1 << 21
_TRIALS = 5


class BareProducts:
    """For each LayerCost of `costs` a function that multiplies as many rows as the layer has pairs, whichever taps they
    belong to: on a CPU in pieces that stay in the cache, on a GPU at once."""

    def __init__(self, costs, dtype, device):
        layers = [(cost, sum(cost.rows)) for cost in costs]
        pieces = {cost.name: _rows_of_pieces(cost, rows, dtype, device) for cost, rows in layers}
        like = {"dtype": dtype, "device": device}
        # The layers share these; only the shapes of their views differ.
        most = max((rows * cost.in_channels for cost, _ in layers for rows in pieces[cost.name]), default=0)
        most_out = max((rows * cost.out_channels for cost, _ in layers for rows in pieces[cost.name]), default=0)
        self._operands, self._results = torch.randn(most, **like), torch.empty(most_out, **like)
        self._products = {
            cost.name: [self._product(rows, cost.in_channels, cost.out_channels) for rows in pieces[cost.name]]
            for cost, _ in layers
        }

    @torch.inference_mode()
    def run(self):
        for products in self._products.values():
            for product in products:
                product()

    @torch.inference_mode()
    def run_layer(self, name):
        for product in self._products[name]:
            product()

    def _product(self, num_rows, in_channels, out_channels):
        rows_NI = self._operands[: num_rows * in_channels].view(num_rows, in_channels)
        result_NO = self._results[: num_rows * out_channels].view(num_rows, out_channels)
        matrix_IO = torch.randn(in_channels, out_channels, dtype=rows_NI.dtype, device=rows_NI.device)
        candidates = [lambda: torch.mm(rows_NI, matrix_IO, out=result_NO)]
        if onednn.is_usable_for(rows_NI):
            matrix_OI = matrix_IO.t().contiguous()
            candidates.append(lambda: onednn.product(rows_NI, matrix_OI))
        return min(candidates, key=_best_time) if len(candidates) > 1 else candidates[0]


def _rows_of_pieces(cost, num_rows, dtype, device):
    if device.type == "cuda":
        return [num_rows] if num_rows else []
    row_bytes = torch.empty((), dtype=dtype).element_size() * (cost.in_channels + cost.out_channels)
    most = 1 << math.floor(math.log2(max(_PIECE_BYTES // row_bytes, 1)))
    whole, rest = divmod(num_rows, most)
    return [most] * whole + [rest] * (rest > 0)


def _best_time(function):
    times = []
    for _ in range(_TRIALS):
        start = time.perf_counter()
        with torch.inference_mode():
            function()
        times.append(time.perf_counter() - start)
    return min(times)
