"""The past scans behind scan files, for weights that were trained with them."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from pvd_core.clouds.errors import CloudFileError
from pvd_core.clouds.files import read_cloud_file
from pvd_core.clouds.history import PastScans, single_remark
from pvd_core.clouds.past_frames import PastFrames
from pvd_core.clouds.poses import has_poses

if TYPE_CHECKING:
    import numpy as np

    from pvd_ros.bags import PoseOptions


class PastClouds:
    """The scans before each of `clouds`, from the files beside it. The poses.txt of its sequence lies in its folder or
    in the one above; where there is none, a remark says so and scans stay single. UserError for poses that cannot be
    used. Remarks are printed on stderr."""

    def __init__(self, clouds: Iterable[Path], past: PastScans, columns: str, intensity_field: str = "") -> None:
        self._columns, self._intensity_field = columns, intensity_field
        self._folders: dict[tuple[Path, str], tuple[PastFrames, list[Path]]] = {}
        self._unreadable: set[Path] = set()
        for folder, suffix in sorted({(cloud.parent, cloud.suffix) for cloud in clouds}) if past.past else ():
            sequence = next((each for each in (folder, folder.parent) if has_poses(each)), None)
            if sequence is None:
                _note(f"{folder}: no poses.txt here or one folder up; {single_remark(past)}")
                continue
            beside = sorted(path for path in folder.iterdir() if path.suffix == suffix and path.name[0] != ".")
            frames = PastFrames(sequence, [path.stem for path in beside], past)
            for remark in frames.remarks:
                _note(remark)
            self._folders[folder, suffix] = frames, beside

    def fused(self, cloud: Path, points: "np.ndarray") -> "np.ndarray":
        """float32 (M, 4), or (M, 5) with time: the points (N, 4) of a cloud, unchanged and in order, then those of its
        past scans. One that cannot be read is left out, with a remark. The points themselves without poses."""
        if (cloud.parent, cloud.suffix) not in self._folders:
            return points
        frames, beside = self._folders[cloud.parent, cloud.suffix]
        return frames.fused(beside.index(cloud), points, lambda place: self._read(beside[place], points))

    def _read(self, path: Path, points: "np.ndarray") -> "np.ndarray":
        try:
            return read_cloud_file(path, columns=self._columns, intensity_field=self._intensity_field).points
        except CloudFileError as error:
            if path not in self._unreadable:
                self._unreadable.add(path)
                _note(f"{error}; it is left out behind later scans")
            return points[:0]


def note_on_single(past: PastScans, poses: "PoseOptions", sources: str) -> None:
    """Says on stderr that weights which expect the scans `past` get bags without them, by the user's `poses`; `sources`
    names the options that would give them."""
    remark = single_remark(past)
    if remark and (poses.history == 0 or not poses.has_source):
        _note(f"{remark}; {'as --history 0 says' if poses.history == 0 else f'{sources} gives what they expect'}")


def _note(text: str) -> None:
    print(f"note: {text}", file=sys.stderr, flush=True)
