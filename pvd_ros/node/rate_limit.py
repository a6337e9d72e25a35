"""How many clouds a second are labelled at most."""

from __future__ import annotations

# Sensors are not punctual: of one at 10 Hz, limited to 5, every second cloud is taken though it comes a little early.
_EARLY_PERIODS = 0.25


class RateLimit:
    """Lets clouds through at a given rate in the long run, and none much earlier than that."""

    def __init__(self) -> None:
        self._next_s = float("-inf")

    def is_due(self, now_s: float, max_rate: float) -> bool:
        """Whether a cloud at `now_s`, of a steady clock, may be labelled; then it counts as labelled. max_rate: clouds
        a second, 0 for any number."""
        if not max_rate:
            return True
        period_s = 1 / max_rate
        # A limit that was lower before counts no longer.
        self._next_s = min(self._next_s, now_s + 2 * period_s)
        if now_s < self._next_s - _EARLY_PERIODS * period_s:
            return False
        self._next_s = max(self._next_s, now_s - _EARLY_PERIODS * period_s) + period_s
        return True
