"""The scans that are looked at, labelled by networks when they are first shown."""

import functools
from dataclasses import dataclass

import numpy as np

from pvd_cli.label_files import true_labels
from pvd_cli.scan_remarks import ScanRemarks
from pvd_cli.view.layers import layers_of
from pvd_core.clouds import read_cloud

_KEPT_SCANS = 16


@dataclass(frozen=True)
class ViewedScan:
    name: str
    points: np.ndarray  # float32 (N, 4)
    truth: np.ndarray | None  # class ids (N,)
    predictions: dict  # {network: class ids (N,)}
    layers: dict  # {layer: RGB (N, 3)}


class ViewedScans:
    """Scans by number; `segmenters` is {name: Segmenter}."""

    def __init__(self, paths, segmenters, **reading):
        self._paths, self._segmenters, self._reading = list(paths), segmenters, reading
        self._remarks = ScanRemarks()
        # A few scans are kept: going back and forth between neighbours is the common way to look.
        self.scan = functools.lru_cache(maxsize=_KEPT_SCANS)(self._load)

    def __len__(self):
        return len(self._paths)

    def _load(self, number):
        path = self._paths[number]
        points = read_cloud(path, **self._reading)
        self._remarks.look_at(path, points)
        truth, _reason = true_labels(path, len(points))
        predictions = {name: segmenter.segment(points).labels for name, segmenter in self._segmenters.items()}
        return ViewedScan(path.stem, points, truth, predictions, layers_of(points, truth, predictions))
