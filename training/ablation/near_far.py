"""A data set re-partitioned by distance: near objects of one class are learnt, far ones are scored (PVD, supplementary
material).

By the paper cars up to 20 m are for training and those beyond for validation. It does not say what happens to the other
cars; `handling` has two readings that keep the scans of both splits.
"""

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pvd_core.borders.errors import UserError
from pvd_core.borders.locks import locked
from pvd_core.taxonomy import Taxonomy
from training.data.dataset import ScanFolder
from training.data.scan_files import read_raw_labels
from training.simulate.folder import SIMULATION_FILE

HANDLINGS = ("unlabelled", "removed")


@dataclass(frozen=True)
class NearFarConfig:
    """Which points of which class are learnt and scored."""

    class_name: str = "car"
    distance_m: float = 20.0
    """Horizontal distance from the sensor. Nearer points are for training, farther ones for validation."""
    handling: str = "unlabelled"
    """What happens to the other points of the class: unlabelled (they stay in the scan, but are neither learnt nor
    scored) or removed."""

    def __post_init__(self) -> None:
        if not self.distance_m > 0:
            raise UserError(f"near_far.distance_m is {self.distance_m}: expected more than 0")
        if self.handling not in HANDLINGS:
            raise UserError(f"near_far.handling is {self.handling!r}: expected one of {', '.join(HANDLINGS)}")

    @property
    def folder_name(self) -> str:
        """Name of the data set's folder."""
        return f"{self.class_name}_{self.distance_m:g}m_{self.handling}"


def write_near_far(
    source: str | Path,
    out: str | Path,
    training: str | Sequence[str],
    validation: str | Sequence[str],
    config: NearFarConfig,
    columns: str | int,
    taxonomy: Taxonomy,
) -> None:
    """Writes the re-partitioned data set with the sequences `training` and `validation` (splits or lists) of `source`
    into the folder `out`, unless it exists. Files of points that do not change become links, and those that change keep
    their `columns`. The class is one of `taxonomy`.

    UserError where training and validation share a sequence.
    """
    out = Path(out)
    near, far = (ScanFolder(source, choice, columns, taxonomy) for choice in (training, validation))
    shared = set(near.sequences) & set(far.sequences)
    if shared:
        raise UserError(f"sequences {', '.join(sorted(shared))} are in training and validation: expected other ones")
    with locked(out.with_name(f".{out.name}.lock"), waits=True):
        if out.exists():
            return
        unfinished = out.with_name(f".{out.name}.tmp")
        shutil.rmtree(unfinished, ignore_errors=True)
        for folder, is_near in ((near, True), (far, False)):
            for index in range(len(folder)):
                _write_scan(folder, index, unfinished, is_near, config)
        # The scans keep the intensity of their sensor.
        (unfinished / SIMULATION_FILE).write_text(json.dumps({"intensity_max": near.intensity_max}))
        os.replace(unfinished, out)


def _write_scan(folder: ScanFolder, index: int, out: Path, is_near: bool, config: NearFarConfig) -> None:
    """`is_near`: the near points are those that keep their label."""
    scan, points = folder.scans[index], folder.points(index)
    raw = read_raw_labels(scan.labels_path, len(points))
    distance_m = np.hypot(points[:, 0], points[:, 1])
    is_beyond = distance_m > config.distance_m
    is_of_class = folder.taxonomy.class_ids_from_raw(raw) == folder.taxonomy.id_of(config.class_name)
    is_wrong = is_of_class & (is_beyond == is_near)
    sequence = out / "sequences" / scan.sequence
    for name in ("velodyne", "labels"):
        (sequence / name).mkdir(parents=True, exist_ok=True)
    points_path, labels_path = (
        sequence / "velodyne" / scan.points_path.name,
        sequence / "labels" / scan.labels_path.name,
    )
    if config.handling == "removed":
        rows = np.frombuffer(scan.points_path.read_bytes(), np.uint8).reshape(len(points), -1)
        rows[~is_wrong].tofile(points_path)
        raw[~is_wrong].tofile(labels_path)
    else:
        points_path.symlink_to(scan.points_path.resolve())
        np.where(is_wrong, np.uint32(0), raw).astype("<u4").tofile(labels_path)
