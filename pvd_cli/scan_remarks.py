"""What people should know of the scans they give: each kind of remark once, at the first scan that calls for it."""

import sys

from pvd_core.clouds.intensity import remark_on_intensity
from pvd_core.clouds.measured import is_measured


class ScanRemarks:
    """`look_at` each scan; remarks go to stderr."""

    def __init__(self):
        self._said = set()

    def look_at(self, path, points):
        """`points`: float32 (N, 4), as the network gets them."""
        for kind, remark in _remarks(points).items():
            if remark and kind not in self._said:
                self._said.add(kind)
                print(f"note: {path}: {remark}; not said of other scans", file=sys.stderr, flush=True)


def _remarks(points):
    if not len(points):
        return {"empty": "there is no point in it"}
    if not is_measured(points).any():
        return {"unmeasured": "no point in it is a measurement (finite, and not 0, 0, 0), so all get label 0"}
    return {"intensity": remark_on_intensity(points, "--intensity-scale")}
