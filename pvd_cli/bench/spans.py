"""Where the time of a run goes: spans around modules and around the building of kernel maps.

A span's own time is its time without the spans inside it, so maps that a layer builds are not counted with the layer.
"""

import contextlib
import functools
import time
from collections import defaultdict

import torch

from pvd_core.sparse import KernelMap, Sites

MAPS = "kernel maps"

# Everything that starts from coordinates alone passes through one of these; `cached` keeps what backends derive.
_MAP_BUILDERS = (
    (Sites, "submanifold_map"),
    (Sites, "downsampled"),
    (KernelMap, "cached"),
)


class SpanClock:
    """Times nested spans; on a GPU by events, which do not hold up the run."""

    def __init__(self, device):
        self._is_cuda = device.type == "cuda"
        self._spans, self._open = [], []

    def start(self, name):
        self._open.append(len(self._spans))
        self._spans.append([name, self._open[-2] if len(self._open) > 1 else None, self._mark(), None])

    def stop(self):
        self._spans[self._open.pop()][3] = self._mark()

    def own_times_ms(self):
        """{name: milliseconds} of all spans so far; forgets them."""
        if self._is_cuda:
            torch.cuda.synchronize()
        spans, self._spans = self._spans, []
        times_ms = defaultdict(float)
        for name, parent, start, end in spans:
            duration_ms = start.elapsed_time(end) if self._is_cuda else (end - start) * 1e3
            times_ms[name] += duration_ms
            if parent is not None:
                times_ms[spans[parent][0]] -= duration_ms
        return dict(times_ms)

    def _mark(self):
        if not self._is_cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event


@contextlib.contextmanager
def timed_modules(clock, modules):
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
def timed_maps(clock):
    """Within the block the building of a kernel map, or of what a backend derives from one, is a span called MAPS. For
    one forward pass."""
    originals = [(owner, name, getattr(owner, name)) for owner, name in _MAP_BUILDERS]
    asked_before = {}

    def timed(method, name):
        @functools.wraps(method)
        def run(owner, argument, *others):
            key = id(owner), name, argument
            if key in asked_before:
                return method(owner, argument, *others)
            asked_before[key] = owner  # kept, so that its id is not given to another one
            clock.start(MAPS)
            try:
                return method(owner, argument, *others)
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
