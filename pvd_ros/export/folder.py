"""Writes the labelled clouds of a bag as a sequence in SemanticKITTI's layout."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pvd_core.borders.errors import UserError
from pvd_core.borders.files import check_output_folder, whole_folder
from pvd_core.borders.wording import counted
from pvd_core.clouds.exported import EXPORT_FILE
from pvd_core.clouds.intensity import AUTO
from pvd_core.clouds.measured import is_measured
from pvd_core.clouds.poses import write_lidar_poses
from pvd_core.taxonomy import Taxonomy
from pvd_ros.bags import PoseOptions, open_bag
from pvd_ros.export.choice import ScanChoice, unsure_share
from pvd_ros.export.poses import apart, in_network_frame, is_known, sensor_poses_of
from pvd_ros.export.source import LabelledBag, LabelledScan

_LOW_CONFIDENCE = 0.5


@dataclass(frozen=True)
class ExportReport:
    """folder: of the sequence. scans: how many were written, of `found` labelled clouds. has_poses: whether the poses
    are those of the sensor, not made up. points_of_class: int64 (C,), by class id. remarks: in plain words."""

    folder: Path
    scans: int
    found: int
    has_poses: bool
    taxonomy: Taxonomy
    points_of_class: np.ndarray
    remarks: list[str]


def export_bag(
    bag: Path | str,
    out: Path | str,
    sequence: str = "00",
    choice: ScanChoice | None = None,
    poses: PoseOptions | None = None,
    topic: str | None = None,
    taxonomy: str | None = None,
    intensity_scale: float | str = AUTO,
    progress: Callable[[int, int], object] | None = None,
) -> ExportReport:
    """Writes the chosen labelled clouds of `bag` to OUT/sequences/SEQUENCE, whole or not at all.

    Scans get the numbers 000000 on. Their points are in the network's frame and intensity, as labels were made; points
    that are no measurement are 0, 0, 0, 0 with label 0, so that number and order stay those of the cloud. poses: where
    they come from, `file` may be KISS_ICP; without a source they are made up. topic, taxonomy: None for what the bag
    says. progress(done, total) is called after each scan. UserError where the sequence is there already: labels that
    people corrected are never replaced.
    """
    target = Path(out) / "sequences" / sequence
    _check_target(target, sequence)
    with open_bag(bag) as opened:
        source = LabelledBag(opened, topic, taxonomy, intensity_scale)
        known = sensor_poses_of(source, poses or PoseOptions())
        numbers = (choice or ScanChoice()).chosen(source, None if known is None else is_known(known))
        # Beside the sequences, for it would be taken for one of them.
        with whole_folder(target, "exporting a bag", beside=target.parent) as folder:
            report = _Written(folder, source, numbers, known)
            for scan in source.scans():
                if scan.number in report.places:
                    report.write(scan)
                    if progress:
                        progress(report.places[scan.number] + 1, len(numbers))
            report.finish()
    remarks = [*opened.remarks, *source.remarks, *report.remarks]
    taxonomy_ = source.facts.taxonomy
    return ExportReport(
        target, len(numbers), source.num_scans, known is not None, taxonomy_, report.points_of_class, remarks
    )


class _Written:
    """The files of a sequence while they are written. places: {number of a labelled cloud: that of its scan}."""

    def __init__(self, folder: Path, source: LabelledBag, numbers: list[int], poses: np.ndarray | None) -> None:
        self.places = {number: place for place, number in enumerate(numbers)}
        self.remarks: list[str] = []
        self.points_of_class = np.zeros(source.facts.taxonomy.num_classes, np.int64)
        self._folder, self._source, self._has_poses = folder, source, poses is not None
        self._poses = apart(len(numbers)) if poses is None else in_network_frame(poses[numbers], source.facts.mounting)
        self._scans: list[dict[str, int | float]] = []
        self._stamps_ns: list[tuple[int, int]] = []
        for name in ("velodyne", "labels", "confidence"):
            (folder / name).mkdir(parents=True)

    def write(self, scan: LabelledScan) -> None:
        """Adds a scan."""
        name = f"{self.places[scan.number]:06d}"
        facts = self._source.facts
        is_point = is_measured(scan.points)
        points = scan.points.copy()
        points[:, 3] *= np.float32(facts.intensity_factor)
        points = np.where(is_point[:, None], facts.mounting.apply(points), np.float32(0)).astype("<f4")
        points[~np.isfinite(points[:, 3]), 3] = 0
        labels = np.where(is_point, scan.labels, 0)
        points.tofile(self._folder / "velodyne" / f"{name}.bin")
        raw_ids = facts.taxonomy.raw_from_class_ids(labels).astype("<u4")
        raw_ids.tofile(self._folder / "labels" / f"{name}.label")
        scan.confidence.astype("<f4").tofile(self._folder / "confidence" / f"{name}.conf")
        self.points_of_class += np.bincount(labels, minlength=len(self.points_of_class))
        self._stamps_ns.append((scan.stamp_ns, scan.log_time_ns))
        self._scans.append(
            {
                "scan": self.places[scan.number],
                "cloud": scan.number,
                "stamp_ns": scan.stamp_ns,
                "log_time_ns": scan.log_time_ns,
                "unsure_share": round(unsure_share(scan, _LOW_CONFIDENCE), 6),
            }
        )

    def finish(self) -> None:
        """Adds poses, times, and what the sequence was made from."""
        write_lidar_poses(self._folder, self._poses)
        times = "".join(f"{seconds:.6e}\n" for seconds in self._seconds())
        (self._folder / "times.txt").write_text(times, encoding="ascii")
        facts = self._source.facts
        content = {
            "bag": str(self._source.bag.path.absolute()),
            "topic": self._source.topic,
            "taxonomy": facts.taxonomy.name,
            "intensity_factor": facts.intensity_factor,
            "mounting": dataclasses.asdict(facts.mounting),
            "weights": self._source.weights,
            "has_poses": self._has_poses,
            "scans": self._scans,
        }
        (self._folder / EXPORT_FILE).write_text(json.dumps(content, indent=1), encoding="utf-8")

    def _seconds(self) -> np.ndarray:
        stamps_ns, log_times_ns = np.array(self._stamps_ns, np.int64).reshape(-1, 2).T
        if (np.diff(stamps_ns) > 0).all():
            return (stamps_ns - stamps_ns[:1]) / 1e9
        self.remarks.append("stamps of the clouds do not rise: times.txt has the times at which they were recorded")
        return (log_times_ns - log_times_ns[:1]) / 1e9


def _check_target(target: Path, sequence: str) -> None:
    if not re.fullmatch(r"\d\d", sequence):
        raise UserError(f"sequence {sequence!r}: expected two digits, such as 00 for training or 08 for validation")
    if target.exists():
        used = {path.name for path in target.parent.iterdir()}
        free = next((f"{number:02d}" for number in range(100) if f"{number:02d}" not in used), "none")
        raise UserError(
            f"{target} exists already, and labels that people corrected are not replaced; name another with --sequence "
            f"(free is {free}), or another folder with --out"
        )
    check_output_folder(target.parent)


def described(report: ExportReport) -> str:
    """The report in one line."""
    return f"{report.scans} of {counted(report.found, 'labelled cloud')} written to {report.folder}"
