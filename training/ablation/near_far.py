"""The re-partition by distance: objects of one class are learnt near and scored far (PVD, supplementary material).

The paper says that cars up to 20 m are for training and those beyond for validation, but not what becomes of the
other cars; `handling` has both readings that need no other scans.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pvd_core.borders.errors import UserError
from pvd_core.taxonomy import CLASS_NAMES, class_ids_from_raw
from training.ablation.locks import locked
from training.data.dataset import ScanFolder
from training.data.scan_files import read_raw_labels

HANDLINGS = ("unlabelled", "removed")


@dataclass(frozen=True)
class NearFarConfig:
    class_name: str = "car"
    distance_m: float = 20.0
    """Level distance from the sensor. Up to here: training; beyond: validation."""
    handling: str = "unlabelled"
    """Of points on the wrong side: unlabelled (seen, but neither learnt nor scored) or removed from the scan."""

    def __post_init__(self):
        if self.class_name not in CLASS_NAMES[1:]:
            raise UserError(f"near_far.class_name is {self.class_name!r}: expected one of {', '.join(CLASS_NAMES[1:])}")
        if not self.distance_m > 0:
            raise UserError(f"near_far.distance_m is {self.distance_m}: expected more than 0")
        if self.handling not in HANDLINGS:
            raise UserError(f"near_far.handling is {self.handling!r}: expected one of {', '.join(HANDLINGS)}")

    @property
    def folder_name(self):
        return f"{self.class_name}_{self.distance_m:g}m_{self.handling}"


def write_near_far(source, out, training, validation, config):
    """Writes a data set with the sequences `training` and `validation` (splits or lists) of `source` into `out`,
    unless it is there. Scans that stay as they are become links."""
    out = Path(out)
    parts = [(ScanFolder(source, training), True), (ScanFolder(source, validation), False)]
    shared = set(parts[0][0].sequences) & set(parts[1][0].sequences)
    if shared:
        raise UserError(f"sequences {', '.join(sorted(shared))} are in training and validation: expected other ones")
    with locked(out.with_name(f".{out.name}.lock"), waits=True):
        if out.exists():
            return
        unfinished = out.with_name(f".{out.name}.tmp")
        shutil.rmtree(unfinished, ignore_errors=True)
        for folder, is_near in parts:
            for index in range(len(folder)):
                _write_scan(folder, index, unfinished, is_near, config)
        os.replace(unfinished, out)


def _write_scan(folder, index, out, is_near, config):
    scan, points = folder.scans[index], folder.points(index)
    raw = read_raw_labels(scan.labels_path, len(points))
    distance_m = np.hypot(points[:, 0], points[:, 1])
    is_beyond = distance_m > config.distance_m
    is_wrong = (class_ids_from_raw(raw) == CLASS_NAMES.index(config.class_name)) & (is_beyond == is_near)
    sequence = out / "sequences" / scan.sequence
    for name in ("velodyne", "labels"):
        (sequence / name).mkdir(parents=True, exist_ok=True)
    points_path, labels_path = (
        sequence / "velodyne" / scan.points_path.name,
        sequence / "labels" / scan.labels_path.name,
    )
    if config.handling == "removed":
        points[~is_wrong].astype("<f4").tofile(points_path)
        raw[~is_wrong].tofile(labels_path)
    else:
        points_path.symlink_to(scan.points_path.resolve())
        np.where(is_wrong, np.uint32(0), raw).astype("<u4").tofile(labels_path)
