"""ros2 param, ros2 lifecycle and ros2 topic with a running node."""

from __future__ import annotations

from collections.abc import Callable

from pvd_ros.node.parameters import SPECS
from scripts.try_on_ros.outcome import Ledger, expect
from scripts.try_on_ros.programs import Program
from scripts.try_on_ros.site import Site

_NODE, _START = "/segmenter", "ros2 run pvd_ros segmenter_node"
# (parameter, value, what the answer has)
_REFUSED = (
    ("min_confidence", "7.0", "range"),
    ("weights", "/other.safetensors", "read-only"),
    ("latency_warn_ms", "5000.0", "above latency_error_ms"),
    ("static_without", "[tree]", "unknown class 'tree'"),
)
# (transition, state after it)
_TRANSITIONS = (
    ("deactivate", "inactive"),
    ("activate", "active"),
    ("deactivate", "inactive"),
    ("cleanup", "unconfigured"),
    ("configure", "inactive"),
    ("shutdown", "finalized"),
)


def node_tools(site: Site, ledger: Ledger) -> None:
    """One node, asked by each tool; the last of them shuts it down."""
    steps: tuple[tuple[str, Callable[[Site], str]], ...] = (
        ("ros2 node list", _nodes),
        ("ros2 topic echo --once /diagnostics", _diagnostics),
        ("ros2 param list, get, set", _parameters),
        ("ros2 lifecycle get, set", _lifecycle),
    )
    started: list[Program] = []

    def start() -> str:
        site.need("ros2 run")
        started.append(site.program("node", "ros2", "run", "pvd_ros", "segmenter_node"))
        started[0].wait_for("labelling")
        return "labelling"

    def end() -> str:
        code = started[0].interrupt()
        expect(code == 0, f"exit code {code} after Ctrl-C: {started[0].last_lines()}")
        expect(not started[0].left(), "a process is left")
        return "exit code 0 after Ctrl-C, no process left"

    if not ledger.wants(_START, *(name for name, _ in steps)):
        return
    try:
        if not ledger.attempt(_START, start, is_needed=True):
            return
        for name, step in steps:
            ledger.attempt(name, lambda step=step: step(site))
        ledger.attempt("Ctrl-C to ros2 run", end, is_needed=True)
    finally:
        for program in started:
            program.__exit__()


def _nodes(site: Site) -> str:
    site.need("ros2 node")
    text = site.output_of("ros2", "node", "list")
    expect(_NODE in text.split(), text)
    return _NODE


def _diagnostics(site: Site) -> str:
    site.need("ros2 topic")
    text = site.output_of("ros2", "topic", "echo", "--once", "/diagnostics")
    expect(f"name: '{_NODE}: labelling'" in text and "key: received" in text, text)
    return next(line.strip() for line in text.split("\n") if "message:" in line)


def _parameters(site: Site) -> str:
    site.need("ros2 param")

    def ask(verb: str, *words: str, code: int | None = 0) -> str:
        return site.output_of("ros2", "param", verb, _NODE, *words, code=code)

    listed = ask("list").split()
    missing = [spec.name for spec in SPECS if spec.name not in listed]
    expect(not missing, f"`ros2 param list` has no {', '.join(missing)}")
    expect("0.0" in ask("get", "min_confidence"), "min_confidence is not 0.0")
    expect("successful" in ask("set", "min_confidence", "0.5"), "a safe value is refused")
    expect("0.5" in ask("get", "min_confidence"), "min_confidence is not 0.5")
    for name, value, reason in _REFUSED:
        # The exit code of a refusal differs between releases of ROS.
        answer = ask("set", name, value, code=None)
        expect("failed" in answer and reason in answer, f"{name} = {value} is not refused with {reason!r}: {answer}")
    return f"{len(SPECS)} parameters, one set, {len(_REFUSED)} refused with their reasons"


def _lifecycle(site: Site) -> str:
    site.need("ros2 lifecycle")
    state = site.output_of("ros2", "lifecycle", "get", _NODE)
    expect(state.startswith("active "), f"the node is {state}, expected active")
    for transition, expected in _TRANSITIONS:
        answer = site.output_of("ros2", "lifecycle", "set", _NODE, transition)
        expect("successful" in answer, f"{transition}: {answer}")
        state = site.output_of("ros2", "lifecycle", "get", _NODE)
        expect(state.startswith(f"{expected} "), f"after {transition} the node is {state}, expected {expected}")
    return ", ".join(transition for transition, _ in _TRANSITIONS)
