"""The clouds of one source (a folder, a bag, a topic) on their way to a network: judged, scaled, turned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from pvd_core.clouds.intensity import AUTO, USUAL_95TH, IntensityScale, bounded, brightest
from pvd_core.clouds.judge import MOUNTING_KINDS, Glance, Wording, drawn_points, glance_at, judge
from pvd_core.clouds.measured import is_measured
from pvd_core.clouds.mounting import Mounting
from pvd_core.clouds.other_quantity import other_quantity

# With a sensor at 10 Hz, the first clouds and then one in five seconds, besides those that differ.
_FIRST_CLOUDS, _EVERY_CLOUDS = 3, 50
# Each frame and mounting of a topic is judged on its own, but a sender that makes them up must not fill the memory.
_MOST_FRAMES = 20


class CloudStream:
    """`intensity_scale`: AUTO, or the factor that brings intensity to what the network knows, of which 95 % are below
    about `usual_95th`. `wording`: how advice names settings.

    remarks: sentences on the cloud that was judged last. tally: {what was found: number of judged clouds}.
    num_spoilt: clouds whose labels are worthless: judged ones, and those that look like the one judged before them.
    UserError for an intensity_scale that is none.
    """

    def __init__(
        self,
        intensity_scale: float | str = AUTO,
        mounting: Mounting | None = None,
        wording: Wording | None = None,
        usual_95th: float = USUAL_95TH,
    ) -> None:
        self.mounting = mounting or Mounting()
        self.remarks: list[str] = []
        self.tally: Counter[str] = Counter()
        self.num_spoilt = 0
        self._wording = wording or Wording()
        self._scale, self._usual_95th = IntensityScale(intensity_scale, usual_95th), usual_95th
        self._setting = intensity_scale
        self._said: dict[tuple[Any, ...], str] = {}  # what was first found of each kind, by _key
        self._watched: dict[str, _Watched] = {}  # of each frame

    def remounted(self, mounting: Mounting) -> CloudStream:
        """The same source with another mounting: they share the factor, whichever decides it, and what was said that
        the mounting has no part in."""
        other = CloudStream(self._setting, mounting, self._wording, self._usual_95th)
        other._scale, other._said = self._scale, self._said
        return other

    @property
    def factor(self) -> float:
        """What intensity is multiplied by; with AUTO it is 1 until a cloud has told it."""
        return self._scale.factor

    @property
    def is_decided(self) -> bool:
        """Whether the factor holds for all clouds to come."""
        return self._scale.is_decided

    def decide(self, points: np.ndarray) -> str:
        """Decides the factor if that is still to be done and `points`, float32 (N, 4 or more) as the cloud has them,
        allow it. Returns a sentence that says so, or ""."""
        if self.is_decided:
            return ""
        drawn = drawn_points(points)
        intensity = drawn[is_measured(drawn), 3]
        other = other_quantity(points[:, :4])
        if not self._scale.look_at(intensity, bool(other)):
            return ""
        if self.factor == 0:
            found = f"is {other} of each point" if other else f"is as low as {np.nanmin(intensity):g}"
            return (
                f"what stands for intensity {found}: from here on clouds are labelled as without intensity, as with an "
                "intensity scale of 0, which intensity scale auto chose"
            )
        return (
            f"intensity reaches {np.max(intensity[np.isfinite(intensity)]):g}: from here on it is multiplied by "
            f"{self.factor:.6g}, which intensity scale auto chose"
        )

    def prepared(self, points: np.ndarray) -> np.ndarray:
        """`points`, float32 (N, 4) as the cloud has them, as networks get them: a copy, or themselves where nothing is
        to be changed. Intensities far beyond the usual are taken for the brightest that networks should get."""
        if self.factor != 1:
            points = points.copy()
            with np.errstate(over="ignore", invalid="ignore"):  # the segmenter takes what is not finite for 0
                points[:, 3] *= np.float32(self.factor)
        return self.mounting.apply(bounded(points, brightest(self._usual_95th)))

    def look_at(self, points: np.ndarray, other_fields: Sequence[str] = (), frame: str = "") -> list[str]:
        """Judges a cloud, `points` as in `decide`; `other_fields` as `judge` takes them; `frame`: the name of the one
        it is in. Returns sentences on what is said of this stream and frame for the first time; all that is to be said
        of the cloud is in `remarks`."""
        told_by_others = self._setting == AUTO and self.is_decided
        found = judge(points, self.factor, self.mounting, self._usual_95th, other_fields, told_by_others)
        self.remarks = [self._wording.sentence(remark) for remark in found]
        watched = self._watched.setdefault(frame, _Watched())
        watched.is_spoilt = any(remark.spoils_labels for remark in found)
        self.num_spoilt += watched.is_spoilt
        unsaid = [remark for remark in found if self._key(frame, remark.kind) not in self._said]
        self._said.update((self._key(frame, remark.kind), remark.text) for remark in unsaid)
        self.tally.update(self._said[self._key(frame, remark.kind)] for remark in found)
        return [self._wording.sentence(remark) for remark in unsaid]

    def look_if_due(self, points: np.ndarray, other_fields: Sequence[str] = (), frame: str = "") -> list[str]:
        """As `look_at` where not all clouds are judged, for each takes some milliseconds: the first of a frame, every
        50th, and those that differ from the one judged before them. To be asked once a cloud."""
        if frame not in self._watched and len(self._watched) >= _MOST_FRAMES:
            frame = ""
        watched = self._watched.setdefault(frame, _Watched())
        if watched.is_due(glance_at(points)):
            return self.look_at(points, other_fields, frame)
        self.num_spoilt += watched.is_spoilt
        return []

    def _key(self, frame: str, kind: str) -> tuple[Any, ...]:
        return (frame, kind, self.mounting) if kind in MOUNTING_KINDS else (frame, kind)


class MountedStreams:
    """The clouds of one topic, whose sensors may be mounted differently and anew: a stream for each mounting, all of
    one source. `wording` and `usual_95th`: as CloudStream takes them."""

    def __init__(self, wording: Wording, usual_95th: float) -> None:
        self._wording, self._usual_95th = wording, usual_95th
        self._source: tuple[float | str, str] | None = None
        self._streams: dict[Mounting, CloudStream] = {}

    def of(self, mounting: Mounting, intensity_scale: float | str, intensity_field: str) -> CloudStream:
        """The stream of clouds with this mounting. Another scale or another field makes another source of them."""
        source = (intensity_scale, intensity_field)
        if source != self._source or not self._streams:
            self._source = source
            self._streams = {mounting: CloudStream(intensity_scale, mounting, self._wording, self._usual_95th)}
        elif mounting not in self._streams:
            newest = next(reversed(self._streams.values()))
            if len(self._streams) >= _MOST_FRAMES:
                self._streams.clear()
            self._streams[mounting] = newest.remounted(mounting)
        return self._streams[mounting]


class _Watched:
    """What is remembered of the clouds in one frame. is_spoilt: whether labels of the last judged one are worthless."""

    def __init__(self) -> None:
        self.is_spoilt = False
        self._num_seen = 0
        self._judged: Glance | None = None

    def is_due(self, glance: Glance) -> bool:
        """Whether the cloud is to be judged, which is then the last judged one. Clouds without measured points do not
        count as seen: nothing is known of their frame and scale."""
        self._num_seen += glance.share > 0
        is_due = (
            self._judged is None
            or (glance.share > 0 and (self._num_seen <= _FIRST_CLOUDS or self._num_seen % _EVERY_CLOUDS == 0))
            or glance.differs_from(self._judged)
        )
        if is_due:
            self._judged = glance
        return is_due
