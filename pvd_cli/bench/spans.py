"""Where the time of a run goes: spans around modules and around the building of kernel maps.

A span's own time is its time without the spans inside it, so maps that a layer builds are not counted with the layer.
"""

import contextlib
import functools
import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from pvd_core.sparse import KernelMap, Sites

MAPS = "kernel maps"

# All that depends only on coordinates is computed inside one of these; `cached` also computes what backends derive.
_MAP_BUILDERS = ((Sites, "map"), (Sites, "coarse"), (Sites, "cached"), (KernelMap, "cached"))


class SpanClock:
    """Times nested spans; on a GPU by events, so that nothing waits for the device while it is timed."""

    def __init__(self, device: torch.device) -> None:
        self._is_cuda = device.type == "cuda"
        self._marks: list[tuple[str | None, Any]] = []  # name of a span that starts, None where one stops; when

    def start(self, name: str) -> None:
        """Opens a span inside the one that was opened last and is still open."""
        self._marks.append((name, self._now()))

    def stop(self) -> None:
        """Closes the span that was opened last."""
        self._marks.append((None, self._now()))

    @contextlib.contextmanager
    def span(self, name: str) -> Iterator[None]:
        self.start(name)
        yield
        self.stop()

    def times_ms(self, functions: Mapping[str, Callable[[], object]]) -> dict[str, float]:
        """{name: milliseconds} of these functions, called one after another."""
        times_ms: dict[str, float] = {}
        for name, function in functions.items():
            with self.span(name):
                function()
            times_ms |= self.own_times_ms()  # waits, so that each starts on an idle device
        return times_ms

    def own_times_ms(self) -> dict[str, float]:
        """{name: milliseconds} of all spans so far, each without the spans inside it; forgets them."""
        if self._is_cuda:
            torch.cuda.synchronize()
        marks, self._marks = self._marks, []
        times_ms: defaultdict[str, float] = defaultdict(float)
        open_spans: list[str] = []
        for (name, start), (_, end) in itertools.pairwise(marks):
            if name is None:
                open_spans.pop()
            else:
                open_spans.append(name)
            if open_spans:
                times_ms[open_spans[-1]] += start.elapsed_time(end) if self._is_cuda else (end - start) * 1e3
        return dict(times_ms)

    def _now(self) -> Any:
        """Seconds, or an event on a GPU."""
        if not self._is_cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event


@contextlib.contextmanager
def timed_modules(clock: SpanClock, modules: Mapping[str, nn.Module]) -> Iterator[None]:
    """Within the block each call of a module, {name: module}, is a span of that name."""
    with contextlib.ExitStack() as hooks:
        for name, module in modules.items():
            hooks.callback(module.register_forward_pre_hook(lambda *_, name=name: clock.start(name)).remove)
            hooks.callback(module.register_forward_hook(lambda *_: clock.stop()).remove)
        yield


@contextlib.contextmanager
def timed_maps(clock: SpanClock) -> Iterator[None]:
    """Within the block, which must be one forward pass, building a kernel map or what a backend derives from it is a
    span called MAPS."""
    asked_before: dict[tuple[Any, ...], Any] = {}

    def timed(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def run(owner: Any, *arguments: Any) -> Any:
            key = id(owner), method, *(argument for argument in arguments if not callable(argument))
            if key in asked_before:
                return method(owner, *arguments)
            asked_before[key] = owner  # a reference, so that its id is not used again for another object
            with clock.span(MAPS):
                return method(owner, *arguments)

        return run

    with contextlib.ExitStack() as originals:
        for owner, name in _MAP_BUILDERS:
            method = getattr(owner, name)
            originals.callback(setattr, owner, name, method)
            setattr(owner, name, timed(method))
        yield
