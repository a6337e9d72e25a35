"""Whether clouds are as networks expect them: their frame, their units, their intensity."""

from collections.abc import Iterator
from pathlib import Path

from pvd_core.borders.errors import UserError
from pvd_core.clouds.bin_columns import bin_columns
from pvd_core.clouds.judge import Wording, judge
from training.data.checking.findings import Finding
from training.data.dataset import simulated_intensity_max
from training.data.scan_files import read_points
from training.data.scan_list import evenly_spaced, scans_of

# Faults of the frame and of the intensity are the same all along a drive.
_SCANS_LOOKED_AT = 3


def remarks_on_clouds(root: Path, sequence: str, columns: str) -> Iterator[Finding]:
    """Remarks on a few scans of a sequence, each kind once. Scans that cannot be read are left to the other checks."""
    scans, seen = scans_of(root, sequence), set()
    for number in evenly_spaced(len(scans), _SCANS_LOOKED_AT):
        path = scans[number].points_path
        try:
            points = read_points(path, bin_columns(columns))
        except UserError:
            continue
        points[:, 3] /= simulated_intensity_max(root)
        for remark in judge(points):
            # A scan without points has a remark already.
            if remark.kind not in seen and remark.kind not in ("empty", "unmeasured"):
                seen.add(remark.kind)
                yield Finding(remark.kind.replace("_", " "), str(path), Wording().sentence(remark), False, sequence)
