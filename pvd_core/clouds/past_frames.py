"""The past scans of each scan of a recorded sequence, by the numbers of its frames and its poses.txt."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from pvd_core.borders.wording import counted
from pvd_core.clouds.history import PastScans, is_jump, moved
from pvd_core.clouds.measured import is_measured, measured_points
from pvd_core.clouds.poses import frame_poses

# Between two frames of a recording. Some are thinned out to one scan a second, so only what no vehicle does is a jump.
_MAX_JUMP_M, _MAX_TURN_DEG = 30.0, 90.0


class PastFrames:
    """The scans with the names `frames`, such as 000123, in the `folder` of a sequence, which holds `poses.txt` and
    `calib.txt`. A past scan that is not there is left out, and so are those before a jump of the poses. UserError as of
    `frame_poses`."""

    def __init__(self, folder: str | Path, frames: Sequence[str], past: PastScans) -> None:
        read = frame_poses(folder, frames)
        self.poses = read.poses
        """float64 (N, 4, 4), as of FramePoses."""
        self._past, self._num_jumps = past, 0
        self._numbers = [int(frame) for frame in frames]
        place_of = {number: place for place, number in enumerate(self._numbers)}
        self._before = [self._chosen(place, number, place_of) for place, number in enumerate(self._numbers)]
        # At the start of a drive there is nothing before a scan.
        short = [
            number
            for number in self._numbers
            if any(number >= step and number - step not in place_of for step in past.steps)
        ]
        self.remarks = [read.remark] if read.remark else []
        """What of the sequence is to be said to the user."""
        if self._num_jumps:
            self.remarks.append(
                f"{Path(folder) / 'poses.txt'}: poses jump by more than {_MAX_JUMP_M:g} m or {_MAX_TURN_DEG:g} degrees "
                f"a scan; the scans before the jump are not put behind {counted(self._num_jumps, 'scan')}"
            )
        if len(frames) > 1 and not any(self._before):
            self.remarks.append(
                f"{folder}: none of {counted(len(frames), 'scan')} has a past scan that fits; each stays as it is"
            )
        elif short:
            self.remarks.append(
                f"{folder}: fewer than {counted(past.past, 'past scan')} are put behind {len(short)} of "
                f"{counted(len(frames), 'scan')} (first {short[0]:06d}), for scans before these are not there; copy "
                "them here too"
            )

    def before(self, place: int) -> list[int]:
        """Places in `frames` of the past scans of the one at `place`, newest first."""
        return self._before[place]

    def moved(self, points: np.ndarray, place: int, to_place: int) -> np.ndarray:
        """`points`, float32 (N, 4), of the scan at `place` in the sensor's frame at the one at `to_place`, which may be
        the same; with time (N, 5), see `PastScans.aged`."""
        if place != to_place:
            points = moved(points, self.poses[place], self.poses[to_place])
        return self._past.aged(points, self._numbers[to_place] - self._numbers[place])

    def fused(self, place: int, points: np.ndarray, read: Callable[[int], np.ndarray]) -> np.ndarray:
        """float32 (M, 4), or (M, 5) with time: the `points`, (N, 4), of the scan at `place`, unchanged and in order,
        then the measured ones of its past scans. `read(place)` gives the points of another scan."""
        past = [(each, read(each)) for each in self.before(place)]
        behind = (self.moved(measured_points(of, is_measured(of)), each, place) for each, of in past)
        return np.concatenate([self.moved(points, place, place), *behind])

    def _chosen(self, place: int, number: int, place_of: dict[int, int]) -> list[int]:
        chosen: list[int] = []
        for step in self._past.steps:
            earlier = place_of.get(number - step)
            if earlier is None:
                continue
            poses = self.poses[earlier], self.poses[place]
            if is_jump(*poses, _MAX_JUMP_M * step, min(180.0, _MAX_TURN_DEG * step)):
                self._num_jumps += 1
                break
            chosen.append(earlier)
        return chosen
