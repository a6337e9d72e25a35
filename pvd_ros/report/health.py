"""The node's health, judged by its counters and latencies: a level and a message. Needs no ROS."""

from __future__ import annotations

from dataclasses import dataclass

from pvd_core.borders.wording import counted

# As in diagnostic_msgs/DiagnosticStatus.
OK, WARN, ERROR = 0, 1, 2


@dataclass(frozen=True)
class Health:
    """`level` is OK, WARN or ERROR; `message` names all causes."""

    level: int
    message: str


def judge(
    before: dict[str, int],
    now: dict[str, int],
    total_p90_ms: float | None,
    warn_ms: float,
    error_ms: float,
    problems: list[str],
    remarks: list[str],
) -> Health:
    """Health in the time from `before` to `now`, both from CloudCounters.as_numbers.

    total_p90_ms: 90th percentile of the total latency, None if nothing was labelled; compared with `warn_ms` and
    `error_ms`. problems: reasons why no cloud can arrive (ERROR). remarks: what is wrong with the input (WARN).
    """
    since = {name: count - before.get(name, 0) for name, count in now.items()}
    errors, warnings = list(problems), list(remarks)
    if since.get("rejected_internal_error"):
        errors.append(f"{counted(since['rejected_internal_error'], 'cloud')} failed inside the node; see its log")
    if total_p90_ms is not None and total_p90_ms > error_ms:
        errors.append(f"p90 of total is {total_p90_ms:.0f} ms, over latency_error_ms = {error_ms:g}")
    elif total_p90_ms is not None and total_p90_ms > warn_ms:
        warnings.append(f"p90 of total is {total_p90_ms:.0f} ms, over latency_warn_ms = {warn_ms:g}")
    for name, noun, what in (
        ("dropped", "cloud", "dropped: they come faster than they can be labelled"),
        ("rejected", "malformed cloud", "rejected"),
        ("lost", "cloud", "lost before they reached the node; see its log for the remedy"),
        ("gaps", "cloud", "missing between stamps"),
        ("without_pose", "cloud", "without a pose: labelled alone"),
        ("history_dropped", "time", "the history of clouds was dropped"),
        ("foreign_stamps", "stamp", "of another clock: stamp_to_publish not measured"),
    ):
        if since.get(name):
            warnings.append(f"{counted(since[name], noun)} {what}")
    level = ERROR if errors else WARN if warnings else OK
    return Health(level, "; ".join(errors + warnings) or _usual(since))


def _usual(since: dict[str, int]) -> str:
    if since.get("labelled"):
        return "labelling"
    if since.get("rate_limited"):
        return "waiting: max_rate allows no cloud yet"
    return "nobody subscribes to the labelled clouds" if since.get("skipped") else "no clouds arrive"
