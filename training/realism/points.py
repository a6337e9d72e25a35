"""Measures of single points: range, height, intensity, class, and number of points per voxel."""

import numpy as np
import torch

from pvd_core.voxels import CylindricalGrid
from training.realism.families import CLASSES, MIN_POINTS, Family, histogram_by_class, shares
from training.realism.scans import MeasuredScan

BANDS_M = (0, 10, 20, 30, 50, np.inf)
BAND_NAMES = ("0-10 m", "10-20 m", "20-30 m", "30-50 m", "over 50 m")
_VOXEL_COUNTS = (1, 2, 3, 4, 5, 7, 10, 16, 32, 64)
_VOXEL_NAMES = ("1", "2", "3", "4", "5-6", "7-9", "10-15", "16-31", "32-63", "64 or more")


def _ranges(scan: MeasuredScan, edges: np.ndarray) -> dict[str, np.ndarray]:
    return histogram_by_class(scan.ranges, scan.class_ids, edges)


def _heights(scan: MeasuredScan, edges: np.ndarray) -> dict[str, np.ndarray]:
    return histogram_by_class(scan.points[:, 2], scan.class_ids, edges)


def _intensities(scan: MeasuredScan, edges: np.ndarray) -> dict[str, np.ndarray]:
    return histogram_by_class(scan.points[:, 3], scan.class_ids, edges)


def _classes(scan: MeasuredScan, _edges: np.ndarray) -> dict[str, np.ndarray]:
    labelled = scan.class_ids > 0
    found = {}
    for name, low, high in zip(("all", *BAND_NAMES), (0, *BANDS_M[:-1]), (np.inf, *BANDS_M[1:]), strict=True):
        chosen = scan.class_ids[labelled & (scan.ranges >= low) & (scan.ranges < high)]
        if len(chosen) >= MIN_POINTS:
            found[name] = shares(np.bincount(chosen, minlength=CLASSES.num_classes)[1:].astype(np.float64))
    return found


def voxel_counts(scan: MeasuredScan) -> np.ndarray:
    """Number of points in each occupied voxel of the default grid of the networks, int64 (voxels,)."""
    grid = CylindricalGrid()
    cells = grid.indices(grid.cylindrical(torch.from_numpy(scan.points[:, :3]))).numpy()
    return np.unique(np.ravel_multi_index(cells.T, grid.shape), return_counts=True)[1]


def _points_per_voxel(scan: MeasuredScan, _edges: np.ndarray) -> dict[str, np.ndarray]:
    bins = np.searchsorted(_VOXEL_COUNTS, voxel_counts(scan), side="right") - 1
    return {"all": shares(np.bincount(bins, minlength=len(_VOXEL_COUNTS)).astype(np.float64))}


POINT_FAMILIES = (
    Family("range", "Range", "m", np.arange(0, 82.1, 2.0), _ranges),
    Family("height", "Height against the sensor", "m", np.arange(-4, 6.01, 0.2), _heights),
    Family("intensity", "Intensity", "", np.arange(0, 1.001, 0.02), _intensities),
    Family(
        "classes",
        "Class proportions",
        "",
        np.arange(CLASSES.num_classes, dtype=np.float64),
        _classes,
        categories=CLASSES.names[1:],
    ),
    Family(
        "points a voxel",
        "Points in an occupied voxel",
        "",
        np.arange(len(_VOXEL_NAMES) + 1.0),
        _points_per_voxel,
        categories=_VOXEL_NAMES,
    ),
)
