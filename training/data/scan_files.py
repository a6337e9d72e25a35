"""Readers of SemanticKITTI's binary files. N points."""

from pathlib import Path

import numpy as np

from pvd_core.borders.errors import UserError
from pvd_core.borders.files import why_not_a_file
from pvd_core.clouds.bin_columns import FOUR_COLUMNS, BinColumns
from pvd_core.taxonomy import Taxonomy, UnknownLabelError

_BYTES_PER_LABEL = 4


def read_points(path: str | Path, columns: BinColumns = FOUR_COLUMNS) -> np.ndarray:
    """float32 (N, 4) of a `.bin` file: x, y, z in metres in the LiDAR frame, intensity as the file has it.

    UserError for a file that is missing or truncated.
    """
    return np.array(columns.points(_read(path, "scan", columns.point_bytes)), dtype=np.float32, order="C")


def read_raw_labels(path: str | Path, num_points: int) -> np.ndarray:
    """uint32 (N,) of a `.label` file: the raw class id in the low 16 bits, the instance id in the high ones.

    `num_points`: those of its scan; UserError where the file has another number of labels, is missing or truncated.
    """
    raw = np.frombuffer(_read(path, "label file", _BYTES_PER_LABEL), dtype="<u4").astype(np.uint32)
    if len(raw) != num_points:
        raise UserError(
            f"{path} holds {len(raw)} labels, its scan {num_points} points: expected one label a point; "
            "the two files do not belong together or one is incomplete, copy both again"
        )
    return raw


def read_class_ids(path: str | Path, num_points: int, taxonomy: Taxonomy) -> np.ndarray:
    """Class ids of `taxonomy`, uint8 (N,), of a `.label` file. Errors as for `read_raw_labels`, and for a raw id that
    the taxonomy does not define."""
    return class_ids_of(read_raw_labels(path, num_points), path, taxonomy)


def class_ids_of(raw_labels: np.ndarray, path: str | Path, taxonomy: Taxonomy) -> np.ndarray:
    """Class ids of `taxonomy`, uint8 (N,), of raw labels, uint32 (N,), which were read from `path`. UserError for a raw
    id that the taxonomy does not define."""
    try:
        return taxonomy.class_ids_from_raw(raw_labels)
    except UnknownLabelError as error:
        raise UserError(f"{path}: {error}; these labels follow another taxonomy, map them first") from error


def _read(path: str | Path, kind: str, item_size: int) -> bytes:
    path = Path(path)
    try:
        if what := why_not_a_file(path):
            raise UserError(f"{kind} {path} {what}")
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{kind} {path} cannot be read: {error.strerror}") from error
    if len(content) % item_size:
        raise UserError(
            f"{kind} {path} is truncated: found {len(content)} bytes, expected a multiple of {item_size}; copy it again"
        )
    return content
