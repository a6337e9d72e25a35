"""The poses of one frame in another over the last seconds, and any between them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

import numpy as np

from pvd_ros.poses.rigid import between, is_too_fast, matrix_of, turn_between
from pvd_ros.poses.source import GAP, LATE, NEVER, STOPPED, TOO_OLD, NoPoseError, PoseLimits

_SECOND_NS = 1_000_000_000
KEPT_NS = 30 * _SECOND_NS
"""Poses older than the newest by more than this are forgotten."""
MOST_POSES = 40_000
LONGEST_GAP_NS = _SECOND_NS // 2
"""Between poses farther apart nobody knows where the sensor was."""
STOPPED_NS = 2 * _SECOND_NS
"""A cloud so much newer than the newest pose is not worth waiting for."""
RESTART_NS = 10 * _SECOND_NS
"""A pose so much older than the newest is of another run: a bag plays anew, or a clock was set."""

SORTED, REPEATED, OLD, RESTARTED = "sorted", "repeated", "old", "restarted"

Sample = tuple[np.ndarray, np.ndarray]


class PoseTrack:
    """Poses sorted by their stamps, in bounded memory. `name` says in messages whose poses they are."""

    def __init__(self, name: str, limits: PoseLimits) -> None:
        self.name, self._limits = name, limits
        self._stamps_ns: list[int] = []
        self._samples: list[Sample] = []

    def __len__(self) -> int:
        return len(self._stamps_ns)

    def add(self, stamp_ns: int, sample: Sample) -> str:
        """Adds a pose, (position, quaternion) as `checked` gives them. Returns "", or what was out of order with it:
        SORTED (put in its place among newer ones), REPEATED (its stamp is known, so it is left out), OLD (left out) or
        RESTARTED (all before are forgotten)."""
        stamps_ns = self._stamps_ns
        if stamps_ns and stamp_ns < stamps_ns[-1] - RESTART_NS:
            self.clear()
            stamps_ns.append(stamp_ns)
            self._samples.append(sample)
            return RESTARTED
        place = bisect_left(stamps_ns, stamp_ns)
        if place < len(stamps_ns) and stamps_ns[place] == stamp_ns:
            return REPEATED
        if place == 0 and len(stamps_ns) >= MOST_POSES:
            return OLD
        is_newest = place == len(stamps_ns)
        stamps_ns.insert(place, stamp_ns)
        self._samples.insert(place, sample)
        self._forget_old()
        return "" if is_newest else SORTED

    def clear(self) -> None:
        """Forgets all poses."""
        self._stamps_ns.clear()
        self._samples.clear()

    def at(self, stamp_ns: int) -> np.ndarray:
        """The pose at a stamp, float64 (4, 4), between the two around it; NoPoseError where there are none."""
        stamps_ns = self._stamps_ns
        if not stamps_ns:
            raise NoPoseError(NEVER, f"no pose has come: {self.name}")
        after = bisect_left(stamps_ns, stamp_ns)
        if after < len(stamps_ns) and stamps_ns[after] == stamp_ns:
            return matrix_of(*self._samples[after])
        if after == len(stamps_ns):
            behind_ns = stamp_ns - stamps_ns[-1]
            reason = LATE if behind_ns <= STOPPED_NS else STOPPED
            raise NoPoseError(reason, f"the newest pose is {_seconds(behind_ns)} older than the cloud: {self.name}")
        if after == 0:
            ahead_ns = stamps_ns[0] - stamp_ns
            raise NoPoseError(TOO_OLD, f"the oldest pose is {_seconds(ahead_ns)} newer than the cloud: {self.name}")
        gap_ns = stamps_ns[after] - stamps_ns[after - 1]
        if gap_ns > LONGEST_GAP_NS:
            raise NoPoseError(
                GAP, f"poses are {_seconds(gap_ns)} apart, expected at most {_seconds(LONGEST_GAP_NS)}: {self.name}"
            )
        if self._is_jump(after):
            raise NoPoseError(GAP, f"the pose jumps at the time of the cloud: {self.name}")
        share = (stamp_ns - stamps_ns[after - 1]) / gap_ns
        (first_at, first), (second_at, second) = self._samples[after - 1 : after + 1]
        return matrix_of(first_at + share * (second_at - first_at), between(first, second, share))

    def jumped_between(self, start_ns: int, end_ns: int) -> bool:
        """Whether two neighbouring poses around or between these stamps are farther apart than the limits allow, or
        those at the start are not kept."""
        if not self._stamps_ns or self._stamps_ns[0] > start_ns:
            return True
        first = bisect_right(self._stamps_ns, start_ns)
        last = min(bisect_left(self._stamps_ns, end_ns), len(self) - 1)
        return any(self._is_jump(place) for place in range(first, last + 1))

    def _is_jump(self, place: int) -> bool:
        """Whether the pose at `place` cannot follow the one before it."""
        (first_at, first), (second_at, second) = self._samples[place - 1 : place + 1]
        seconds = (self._stamps_ns[place] - self._stamps_ns[place - 1]) / _SECOND_NS
        distance_m = float(np.linalg.norm(second_at - first_at))
        return is_too_fast(distance_m, turn_between(first, second), seconds, self._limits)

    def _forget_old(self) -> None:
        count = bisect_left(self._stamps_ns, self._stamps_ns[-1] - KEPT_NS)
        if len(self) > MOST_POSES:
            count = max(count, MOST_POSES // 4)
        # Not one by one: that would move all others each time.
        if 5 * count > len(self):
            del self._stamps_ns[:count], self._samples[:count]


def restart_of(track: PoseTrack) -> str:
    """A sentence on a pose that was RESTARTED."""
    return f"stamps went back by more than {RESTART_NS / _SECOND_NS:g} s, poses before that are forgotten: {track.name}"


def _seconds(duration_ns: int) -> str:
    return f"{duration_ns / _SECOND_NS:.3g} s"
