"""The clouds before each one, put behind it by the poses of a source; what could not be is counted and said."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

import numpy as np

from pvd_core.borders.wording import counted
from pvd_core.clouds.history import PastScans, ScanHistory
from pvd_ros.poses.frames import plain
from pvd_ros.poses.source import NoPoseError, PoseSource

# Clouds from before a longer pause tell nothing about what moves now.
LONGEST_PAUSE_NS = 5_000_000_000

_DROPPED = {
    "jump": "the pose jumps",
    "order": "a cloud's stamp is not later than the one before",
    "pause": f"no cloud came for more than {LONGEST_PAUSE_NS / 1e9:g} s",
    "frame": "clouds come in another frame",
}


class CloudHistory:
    """The last clouds of one sensor that moves. For one thread.

    counters: clouds with past ones behind them (`fused`); clouds without a pose, which stay alone (`without_pose`, and
    by reason); times that the history was dropped (`history_dropped`, and by reason); and those of the source.
    """

    def __init__(self, past: PastScans, source: PoseSource) -> None:
        self.past = past
        self._source = source
        self._scans = ScanHistory(past)
        self._last: tuple[int, str] | None = None
        self._fused = 0
        self._without_pose: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._remarks: list[str] = []
        self._num_said = [0, 0]
        self._lasting = ""

    @property
    def counters(self) -> dict[str, int]:
        """As above."""
        reasons = {f"without_pose_{reason}": count for reason, count in sorted(self._without_pose.items())}
        causes = {f"history_dropped_{cause}": count for cause, count in sorted(self._dropped.items())}
        return {
            "fused": self._fused,
            "without_pose": sum(self._without_pose.values()),
            **reasons,
            "history_dropped": sum(self._dropped.values()),
            **causes,
            **self._source.counters,
        }

    @property
    def remarks(self) -> list[str]:
        """Why the last cloud has no pose, if so."""
        return [self._lasting] if self._lasting else []

    def new_remarks(self) -> list[str]:
        """What is to be said of poses and history for the first time since the last call."""
        found = []
        for number, remarks in enumerate((self._remarks, self._source.remarks)):
            found += remarks[self._num_said[number] :]
            self._num_said[number] = len(remarks)
        return found

    def fuse(self, points: np.ndarray, stamp_ns: int, frame: str) -> np.ndarray:
        """float32 (M, 4), or (M, 5) with time: the cloud's own points first, unchanged and in order, then the measured
        ones of past clouds in its frame, newest cloud first; `points` themselves where there is no pose.

        `points`: float32 (N, 4) in the frame `frame`, as all of one history: intensities in the same scale.
        """
        frame = plain(frame)
        try:
            pose = self._source.pose(stamp_ns, frame)
        except NoPoseError as error:
            self._lasting = f"clouds are labelled alone: {error}"
            if not self._without_pose[error.reason]:
                self._remarks.append(self._lasting)
            self._without_pose[error.reason] += 1
            return points
        self._lasting = ""
        self._drop_where_none_follows(stamp_ns, frame)
        fused, _ = self._scans.fuse(points, pose)
        self._fused += len(fused) > len(points)
        return fused

    def keep(self, points: np.ndarray, stamp_ns: int, frame: str) -> None:
        """Takes a cloud that is not labelled as a past one of later clouds, if it has a pose; arguments are those of
        `fuse`."""
        frame = plain(frame)
        with suppress(NoPoseError):
            pose = self._source.pose(stamp_ns, frame)
            self._drop_where_none_follows(stamp_ns, frame)
            self._scans.keep(points, pose)

    def _drop_where_none_follows(self, stamp_ns: int, frame: str) -> None:
        """Drops the history where the cloud of this stamp and frame does not go on from it."""
        cause = self._cause_to_drop(stamp_ns, frame)
        if cause:
            self._drop(cause)
        self._last = stamp_ns, frame

    def _cause_to_drop(self, stamp_ns: int, frame: str) -> str:
        if self._last is None:
            return ""
        last_ns, last_frame = self._last
        if frame != last_frame:
            return "frame"
        if stamp_ns <= last_ns:
            return "order"
        if stamp_ns - last_ns > LONGEST_PAUSE_NS:
            return "pause"
        return "jump" if self._source.jumped_between(last_ns, stamp_ns, frame) else ""

    def _drop(self, cause: str) -> None:
        self._scans.clear()
        if not self._dropped[cause]:
            self._remarks.append(f"the history of clouds is dropped: {_DROPPED[cause]}")
        self._dropped[cause] += 1


def past_behind(wanted: PastScans, history: int | None, stride: int | None) -> PastScans:
    """Which past clouds are put behind each: as the user chose, or for None as the weights want. UserError for numbers
    out of range."""
    past = wanted.past if history is None else history
    return PastScans(past, wanted.stride if stride is None else stride, wanted.time and past > 0)


def training_remark(wanted: PastScans, past: PastScans) -> str:
    """A sentence for who puts other past clouds behind each than the weights were trained with, else ""."""
    if past == wanted or not past.past:
        return ""
    trained = f"{wanted.past} (stride {wanted.stride})" if wanted.past else "single scans"
    return (
        f"{counted(past.past, 'past cloud')} (stride {past.stride}) behind each, for weights that were trained with "
        f"{trained}: labels may be worse than without"
    )


def history_in(counters: dict[str, int]) -> dict[str, int]:
    """Those of a CloudHistory among others; empty where there are none."""
    starts = ("fused", "without_pose", "history_dropped", "poses_")
    return {name: count for name, count in counters.items() if name.startswith(starts)}


def summary(counters: dict[str, int]) -> str:
    """The counters of a history as a sentence."""
    parts = [f"{counted(counters['fused'], 'cloud')} with past ones behind"]
    for total, words in (("without_pose", "without a pose, labelled alone"), ("history_dropped", "times dropped")):
        if counters[total]:
            reasons = [
                f"{name.removeprefix(total)[1:]} {n}" for name, n in counters.items() if name.startswith(f"{total}_")
            ]
            parts.append(f"{counters[total]} {words} ({', '.join(reasons)})")
    for name, words in (("poses_refused", "poses refused"), ("poses_out_of_order", "poses out of order")):
        if counters.get(name):
            parts.append(f"{counters[name]} {words}")
    return "; ".join(parts)
