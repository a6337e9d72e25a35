"""Remarks on scans that are not as networks expect them. Each kind is printed for the first such scan only."""

import sys
from pathlib import Path

import numpy as np

from pvd_core.clouds.intensity import remark_on_intensity
from pvd_core.clouds.measured import is_measured


class ScanRemarks:
    """Prints remarks on stderr."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def look_at(self, path: Path, points: np.ndarray) -> None:
        """Prints what is to be said of a scan, unless it was said before. `points`: float32 (N, 4), as the network gets
        them."""
        for kind, remark in _remarks(points).items():
            if remark and kind not in self._said:
                self._said.add(kind)
                print(f"note: {path}: {remark}; not said of other scans", file=sys.stderr, flush=True)


def _remarks(points: np.ndarray) -> dict[str, str]:
    """{kind of remark: remark, or "" if there is none}."""
    if not len(points):
        return {"empty": "there is no point in it"}
    if not is_measured(points).any():
        return {"unmeasured": "no point in it is a measurement (finite, and not 0, 0, 0), so all get label 0"}
    return {"intensity": remark_on_intensity(points, "--intensity-scale")}
