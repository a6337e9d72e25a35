"""Whether clouds are as networks expect them: their frame, their units, their intensity."""

from collections.abc import Iterator
from pathlib import Path

from pvd_core.borders.errors import UserError
from pvd_core.clouds.bin_columns import bin_columns
from pvd_core.clouds.judge import Wording, judge
from training.data.checking.findings import Finding, Report
from training.data.dataset import simulated_intensity_max
from training.data.scan_files import read_points
from training.data.scan_list import evenly_spaced, scans_of

# Faults of the frame and of the intensity are the same all along a drive.
_SCANS_LOOKED_AT = 3


def judge_clouds(report: Report) -> None:
    """Adds to a Report what a few scans of each of its sequences look like, each kind once a sequence. What makes
    labels worthless is an error: nothing can be learned from such scans, and nothing scored on them."""
    unusable = {finding.where for finding in report.errors}
    for sequence in sorted(report.sequences):
        for finding in _findings_on_clouds(report.root, sequence, report.columns):
            if finding.where not in unusable:
                report.add(finding)


def _findings_on_clouds(root: Path, sequence: str, columns: str) -> Iterator[Finding]:
    """Scans that cannot be read are left to the other checks."""
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
                kind, what = remark.kind.replace("_", " "), Wording().sentence(remark)
                yield Finding(kind, str(path), what, remark.spoils_labels, sequence)
