"""Columns and types of numbers as all files of a data set show them: first by their sizes, then by their values."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pvd_core.clouds.bin_columns import BinColumns, candidates, likely_columns
from pvd_core.taxonomy import Taxonomy
from training.data.checking.examination import LABELS, known_labels
from training.data.scan_list import Scan

LABEL_TYPES = {LABELS: "uint32", "<i8": "int64", "<u2": "uint16", "u1": "uint8"}
_NUM_SAMPLES = 5
_SAMPLE_BYTES = 1_000_000
# Shares of the scans whose sizes must fit, so that a few damaged files decide nothing.
_MOST, _NEARLY = 0.5, 0.9


@dataclass(frozen=True)
class Widths:
    """How the files of a data set are to be read."""

    columns: BinColumns
    label_type: str = LABELS


def recognised(scans: Sequence[Scan], sizes: np.ndarray, expected: BinColumns, taxonomy: Taxonomy) -> Widths:
    """Widths with the expected columns and uint32 labels, or those that clearly fit better. `sizes`: int64 (scans, 2),
    bytes of the scan and of its labels, -1 where there are none. `taxonomy`: that of the labels."""
    default = Widths(expected)
    filled = np.flatnonzero(sizes[:, 0] > 0)
    if not len(filled):
        return default
    shares = {widths: _share_that_fits(sizes[filled], widths) for widths in _possible(expected)}
    best = max(shares.values())
    if best < _MOST:
        return default
    samples = [scans[i] for i in filled[np.linspace(0, len(filled) - 1, _NUM_SAMPLES).astype(int)]]
    likely = [
        widths for widths, share in shares.items() if share >= _NEARLY * best and _labels_fit(samples, widths, taxonomy)
    ]
    if not likely:
        return default
    first = likely[0]
    votes = Counter(_vote(scan, first.columns, [widths.columns for widths in likely]) for scan in samples)
    chosen = votes.most_common(1)[0][0]
    return next(widths for widths in likely if widths.columns == chosen)


def _possible(expected: BinColumns) -> list[Widths]:
    """What is expected comes first, then what is usual."""
    columns = dict.fromkeys([expected, *candidates(0)])
    return [Widths(each, label_type) for label_type in LABEL_TYPES for each in columns]


def _share_that_fits(sizes: np.ndarray, widths: Widths) -> float:
    num_points, rest = np.divmod(sizes[:, 0], widths.columns.point_bytes)
    num_bytes = num_points * np.dtype(widths.label_type).itemsize
    return float(np.mean((rest == 0) & ((sizes[:, 1] < 0) | (sizes[:, 1] == num_bytes))))


def _labels_fit(samples: Sequence[Scan], widths: Widths, taxonomy: Taxonomy) -> bool:
    """Labels of an unusual type must show it: all their ids are known. A label file that is not there shows nothing."""
    if widths.label_type == LABELS:
        return True
    heads = [head for head in (_head(scan.labels_path) for scan in samples) if head]
    return bool(heads) and all(known_labels(head, widths.label_type, taxonomy) for head in heads)


def _vote(scan: Scan, first: BinColumns, among: Sequence[BinColumns]) -> BinColumns:
    return likely_columns(_head(scan.points_path), first, among)


def _head(path: Path) -> bytes:
    """The first bytes of a file; none where it cannot be read, which the examination says."""
    try:
        if not path.is_file():  # a pipe would be waited for without end
            return b""
        with open(path, "rb") as file:
            return file.read(_SAMPLE_BYTES)
    except OSError:
        return b""
