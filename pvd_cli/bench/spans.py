"""Where the time of a run goes: spans around modules and around the building of kernel maps.

A span's own time is its time without the spans inside it, so maps that a layer builds are not counted with the layer.
"""

import contextlib
import functools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from pvd_core.sparse import KernelMap, Sites

MAPS = "kernel maps"

# All that depends only on coordinates is computed inside one of these; `cached` also computes what backends derive.
_MAP_BUILDERS = (
    (Sites, "map"),
    (Sites, "coarse"),
    (Sites, "cached"),
    (KernelMap, "cached"),
)


@dataclass
class _Span:
    """`start` and `end` are seconds, or events on a GPU."""

    name: str
    parent: "_Span | None"
    start: Any
    end: Any = None


class SpanClock:
    """Times nested spans; on a GPU by events, so that nothing waits for the device while it is timed."""

    def __init__(self, device: torch.device) -> None:
        self._is_cuda = device.type == "cuda"
        self._spans: list[_Span] = []
        self._open: list[_Span] = []

    def start(self, name: str) -> None:
        """Opens a span inside the one that was opened last and is still open."""
        parent = self._open[-1] if self._open else None
        self._open.append(_Span(name, parent, self._mark()))
        self._spans.append(self._open[-1])

    def stop(self) -> None:
        """Closes the span that was opened last."""
        self._open.pop().end = self._mark()

    def own_times_ms(self) -> dict[str, float]:
        """{name: milliseconds} of all spans so far, each without the spans inside it; forgets them."""
        if self._is_cuda:
            torch.cuda.synchronize()
        spans, self._spans = self._spans, []
        times_ms: defaultdict[str, float] = defaultdict(float)
        for span in spans:
            duration_ms = span.start.elapsed_time(span.end) if self._is_cuda else (span.end - span.start) * 1e3
            times_ms[span.name] += duration_ms
            if span.parent is not None:
                times_ms[span.parent.name] -= duration_ms
        return dict(times_ms)

    def _mark(self) -> Any:
        if not self._is_cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event


@contextlib.contextmanager
def timed_modules(clock: SpanClock, modules: Mapping[str, nn.Module]) -> Iterator[None]:
    """Within the block each call of a module, {name: module}, is a span of that name."""
    handles = []
    for name, module in modules.items():
        handles.append(module.register_forward_pre_hook(lambda *_, name=name: clock.start(name)))
        handles.append(module.register_forward_hook(lambda *_: clock.stop()))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def timed_maps(clock: SpanClock) -> Iterator[None]:
    """Within the block, which must be one forward pass, building a kernel map or what a backend derives from it is a
    span called MAPS."""
    originals = [(owner, name, getattr(owner, name)) for owner, name in _MAP_BUILDERS]
    asked_before: dict[tuple[Any, ...], Any] = {}

    def timed(method: Callable[..., Any], name: str) -> Callable[..., Any]:
        @functools.wraps(method)
        def run(owner: Any, *arguments: Any) -> Any:
            key = id(owner), name, *(argument for argument in arguments if not callable(argument))
            if key in asked_before:
                return method(owner, *arguments)
            asked_before[key] = owner  # a reference, so that its id is not used again for another object
            clock.start(MAPS)
            try:
                return method(owner, *arguments)
            finally:
                clock.stop()

        return run

    try:
        for owner, name, method in originals:
            setattr(owner, name, timed(method, name))
        yield
    finally:
        for owner, name, method in originals:
            setattr(owner, name, method)
