"""ros2 param, ros2 lifecycle and ros2 topic with a running node."""

from __future__ import annotations

from collections.abc import Callable

from pvd_ros.node.parameters import SPECS
from scripts.try_on_ros.outcome import Ledger, expect
from scripts.try_on_ros.programs import Program
from scripts.try_on_ros.site import Site

_NODE, _SERVICE, _START = "/segmenter", "/segmenter/get_state", "ros2 run pvd_ros segmenter_node"
_NO_NODE, _MOST_DAEMONS, _DAEMON_S = "Node not found", 4, 30.0
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
        ("ros2 topic echo --once /diagnostics", _diagnostics),
        ("ros2 param list, get, set", _parameters),
        ("ros2 lifecycle get, set", _lifecycle),
    )
    started: list[Program] = []

    def start() -> str:
        site.need("ros2 run", "ros2 service")
        site.need_package("pvd_ros")
        started.append(site.program("node", "ros2", "run", "pvd_ros", "segmenter_node"))
        started[0].wait_for("labelling")
        # The daemon of ros2cli starts with the first command, and hears of nodes and then of their services later.
        started[0].wait_until(lambda: _SERVICE in _services(site), "is not in `ros2 service list`")
        return f"`ros2 service list` has {_SERVICE}"

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


def _services(site: Site) -> list[str]:
    return site.output_of("ros2", "service", "list").split()


def _diagnostics(site: Site) -> str:
    site.need("ros2 topic")
    text = site.output_of("ros2", "topic", "echo", "--once", "/diagnostics", "diagnostic_msgs/msg/DiagnosticArray")
    expect(f"name: '{_NODE}: labelling'" in text and "key: received" in text, text)
    return next(line.strip() for line in text.split("\n") if "message:" in line)


def _parameters(site: Site) -> str:
    site.need("ros2 param")
    listed = _asked(site, "param", "list").split()
    missing = [spec.name for spec in SPECS if spec.name not in listed]
    expect(not missing, f"`ros2 param list` has no {', '.join(missing)}")
    _expect_in("0.0", _asked(site, "param", "get", "min_confidence"))
    _expect_in("successful", _asked(site, "param", "set", "min_confidence", "0.5"))
    _expect_in("0.5", _asked(site, "param", "get", "min_confidence"))
    for name, value, reason in _REFUSED:
        answer = _asked(site, "param", "set", name, value)
        expect("failed" in answer and reason in answer, f"{name} = {value} is not refused with {reason!r}: {answer}")
    return f"{len(SPECS)} parameters, one set, {len(_REFUSED)} refused with their reasons"


def _lifecycle(site: Site) -> str:
    site.need("ros2 lifecycle")
    _expect_in("active [", _asked(site, "lifecycle", "get"))
    for transition, state in _TRANSITIONS:
        _expect_in("successful", _asked(site, "lifecycle", "set", transition))
        _expect_in(f"{state} [", _asked(site, "lifecycle", "get"))
    return ", ".join(transition for transition, _ in _TRANSITIONS)


def _asked(site: Site, tool: str, verb: str, *words: str) -> str:
    """What a tool says of the node. It is asked again where it finds no node: the daemon of ros2cli may be late, or, on
    a busy machine, have missed the name of a node that started before it; only another daemon then knows the node."""
    for _ in range(_MOST_DAEMONS):
        answer = site.output_without(_NO_NODE, _DAEMON_S, "ros2", tool, verb, _NODE, *words)
        if _NO_NODE not in answer:
            break
        site.output_of("ros2", "daemon", "stop", code=None)
    return answer


def _expect_in(wanted: str, answer: str) -> None:
    expect(answer.startswith(wanted) or f" {wanted}" in answer, f"expected {wanted!r}, found {answer!r}")
