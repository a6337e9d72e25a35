"""A function that is called again and again on one input buffer: captured as a CUDA graph, or called as it is."""

from collections.abc import Callable
from typing import Generic, TypeVar

import torch

_Result = TypeVar("_Result")

# The first call compiles kernels; in the second one no library allocates a workspace any more.
_WARM_UP_CALLS = 2


class StaticFunction(Generic[_Result]):
    """Call it after writing into `input_B`, a uint8 tensor on the device. The next call overwrites the result."""

    def __init__(
        self,
        function: Callable[[torch.Tensor], _Result],
        num_input_bytes: int,
        device: torch.device,
        is_captured: bool,
    ) -> None:
        """`function` takes `input_B` and does not wait for the device. `is_captured`: it is run as a CUDA graph."""
        self.input_B = torch.zeros(num_input_bytes, dtype=torch.uint8, device=device)
        self._function = function
        self._graph: torch.cuda.CUDAGraph | None = None
        if is_captured:
            with torch.cuda.device(device):
                self._graph, self._output = _captured(function, self.input_B)

    def __call__(self) -> _Result:
        if self._graph is None:
            return self._function(self.input_B)
        self._graph.replay()
        return self._output


def _captured(
    function: Callable[[torch.Tensor], _Result], input_B: torch.Tensor
) -> tuple[torch.cuda.CUDAGraph, _Result]:
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(_WARM_UP_CALLS):
            function(input_B)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        output = function(input_B)
    return graph, output
