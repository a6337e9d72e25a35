"""The scans to show, each read and labelled when it is first shown."""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pvd_cli.cloud_options import NotedClouds
from pvd_cli.label_files import true_labels
from pvd_cli.view.layers import layers_of
from pvd_core.borders.errors import naming_scan
from pvd_core.clouds import read_cloud
from pvd_core.clouds.stream import CloudStream
from pvd_core.segmenter import Segmenter
from pvd_core.taxonomy import Taxonomy

_KEPT_SCANS = 16


@dataclass(frozen=True)
class ViewedScan:
    """One scan with everything that can be shown of it."""

    name: str
    taxonomy: Taxonomy  # of truth and predictions
    points: np.ndarray  # float32 (N, 4), as networks get them
    truth: np.ndarray | None  # class ids uint8 (N,)
    predictions: dict[str, np.ndarray]  # {network: class ids uint8 (N,)}
    layers: dict[str, np.ndarray]  # {layer: RGB (N, 3)}, see layers_of

    @property
    def has_errors(self) -> bool:
        """Whether there are layers of errors."""
        return self.truth is not None and bool(self.predictions)


class ViewedScans:
    """The scans at `paths`, brought to the networks' frame by `noted` and labelled by `segmenters`, {name: Segmenter},
    at least one, all of the same taxonomy. `columns` is for read_cloud."""

    def __init__(
        self,
        paths: Iterable[Path],
        segmenters: Mapping[str, Segmenter],
        noted: NotedClouds | None = None,
        columns: str | int = 4,
    ) -> None:
        self._paths, self._segmenters = list(paths), segmenters
        (self.taxonomy,) = {segmenter.taxonomy for segmenter in segmenters.values()}
        self._noted, self._columns = noted or NotedClouds(CloudStream()), columns
        # The last few are kept, because people go back and forth between neighbours.
        self._cached = functools.lru_cache(maxsize=_KEPT_SCANS)(self._load)

    def __len__(self) -> int:
        return len(self._paths)

    def scan(self, number: int) -> ViewedScan:
        """The scan with this number, from 0 on. UserError if it cannot be read."""
        return self._cached(number)

    def _load(self, number: int) -> ViewedScan:
        path = self._paths[number]
        points = self._noted.prepared(path, read_cloud(path, columns=self._columns))
        truth, _reason = true_labels(path, len(points), self.taxonomy)
        with naming_scan(path):
            predictions = {name: segmenter.segment(points).labels for name, segmenter in self._segmenters.items()}
        layers = layers_of(points, truth, predictions, self.taxonomy)
        return ViewedScan(path.stem, self.taxonomy, points, truth, predictions, layers)
