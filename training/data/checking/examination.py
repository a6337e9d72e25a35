"""What the bytes of one scan and its label file say. N points."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pvd_core.borders.files import why_not_content
from pvd_core.borders.wording import counted
from pvd_core.clouds.bin_columns import BinColumns, foreign_type, looks_like_points
from pvd_core.clouds.measured import MAX_COORDINATE_M, is_measured
from pvd_core.taxonomy import Taxonomy, UnknownLabelError
from training.data.scan_list import Scan

LABELS = "<u4"
"""Type of the numbers in label files, as NumPy names it."""

UNREADABLE = "unreadable"
"""Kind of problems that may go away without a change of the file."""

# No sensor counts so far, and a network's sums overflow not far above.
_LARGEST_INTENSITY = 1e6
# Far more than any sensor sends at once; larger files may not fit into memory.
_LARGEST_FILE = 1 << 30
# Fewer numbers may all be odd by chance.
_LEAST_JUDGED, _MOST_JUDGED = 30, 5000
# All of a scan would take as long as the rest of its check; no two recordings share so many points.
_MOST_DIGESTED = 4000


@dataclass(frozen=True)
class Examined:
    """Plain numbers and texts, which are remembered as JSON."""

    num_points: int = 0
    num_usable: int = 0
    """Points that are measurements, see `is_measured`."""
    num_not_finite: int = 0
    """Points with a coordinate or an intensity that is not finite."""
    num_labelled: int = 0
    """Usable points of a class."""
    digest: str = ""
    """The same for the same points; "" where none is usable."""
    problems: tuple[tuple[str, bool, str], ...] = ()
    """(kind, whether it is the label file, what is wrong with it) of files that cannot be used."""


def examine(scan: Scan, has_labels: bool, columns: BinColumns, label_type: str, taxonomy: Taxonomy) -> Examined:
    """Reads the whole scan. `has_labels`: its labels are wanted too; `label_type`: type of their numbers; `taxonomy`:
    the classes as which they are read."""
    problems: list[tuple[str, bool, str]] = []
    points = _points(scan.points_path, columns, problems)
    labels = _labels(scan.labels_path, label_type, problems) if has_labels else None
    if points is None:
        return Examined(problems=tuple(problems))
    measured_N, num_not_finite = _measured(points)
    num_usable = len(points) if measured_N is None else int(np.count_nonzero(measured_N))
    num_labelled = 0
    if labels is not None and len(labels) != len(points):
        problems.append(("label count", True, _wrong_count(len(labels), len(points))))
    elif labels is not None:
        try:
            class_ids = taxonomy.class_ids_from_raw(labels)
            num_labelled = int(np.count_nonzero(class_ids if measured_N is None else class_ids[measured_N]))
        except UnknownLabelError as error:
            what = str(error).partition(";")[0]
            problems.append(("label ids", True, f"{what}; map these labels to the ids of {taxonomy.title}"))
    digest = _digest(points) if num_usable else ""
    return Examined(len(points), num_usable, num_not_finite, num_labelled, digest, tuple(problems))


def known_labels(data: bytes, label_type: str, taxonomy: Taxonomy) -> bool:
    """Whether all numbers of this type in the bytes of a label file are ids that the taxonomy defines."""
    numbers = np.frombuffer(data[: len(data) - len(data) % np.dtype(label_type).itemsize], label_type)
    if numbers.itemsize >= 4:  # instances are in the next 16 bits
        numbers = np.where((numbers >= 0) & (numbers < 1 << 32), numbers & 0xFFFF, -1)
    return bool(np.isin(np.unique(numbers), list(taxonomy.raw_names)).all())


def _points(path: Path, columns: BinColumns, problems: list[tuple[str, bool, str]]) -> np.ndarray | None:
    data = _read(path, False, problems)
    if data is None:
        return None
    if not columns.is_certain and (foreign := foreign_type(data)):
        what = f"numbers that look like {foreign}; write it again as float32, x, y and z in metres"
        problems.append(("numbers", False, what))
        return None
    if len(data) % columns.point_bytes:
        what = f"{len(data)} bytes, expected a multiple of {columns.point_bytes} ({columns}): cut short? Copy it again"
        problems.append(("size", False, what))
        return None
    points = columns.points(data)
    if odd := _odd_numbers(points, columns):
        problems.append(odd)
        return None
    return points


def _odd_numbers(points: np.ndarray, columns: BinColumns) -> tuple[str, bool, str] | None:
    """The problem with points that no sensor sent; None without one."""
    # Bytes of another type are odd everywhere.
    sample = points[:: max(1, len(points) // _MOST_JUDGED), :3]
    if len(sample) >= _LEAST_JUDGED and not looks_like_points(sample):
        row = ", ".join(f"{value:.3g}" for value in points[len(points) // 2])
        what = f"no point cloud of {columns}: its middle point would be {row}; copy or convert it again"
        return "numbers", False, what
    intensity = np.abs(points[:, 3])
    largest = intensity.max(initial=0, where=np.isfinite(intensity))
    if largest > _LARGEST_INTENSITY:
        what = f"an intensity of {largest:.3g}, expected 0..1 or at least a sensor's counts; write it again"
        return "intensity", False, what
    return None


def _labels(path: Path, label_type: str, problems: list[tuple[str, bool, str]]) -> np.ndarray | None:
    data = _read(path, True, problems)
    if data is None:
        return None
    width = np.dtype(label_type).itemsize
    if len(data) % width:
        what = f"{len(data)} bytes, expected a multiple of {width}, one number a point: cut short? Copy it again"
        problems.append(("size", True, what))
        return None
    return np.frombuffer(data, label_type)


def _read(path: Path, is_labels: bool, problems: list[tuple[str, bool, str]]) -> bytes | None:
    """The file is read, not mapped: one that is cut short meanwhile would end the program."""
    try:
        # A pipe would be waited for without end.
        if not path.exists() or path.is_file():
            if (size := path.stat().st_size) <= _LARGEST_FILE:
                data = path.read_bytes()
                if not (what := why_not_content(data)):
                    return data
                problems.append((UNREADABLE, is_labels, what))
                return None
            problems.append(("size", is_labels, f"{size / 1e9:.1f} GB, expected a single scan; move it away"))
            return None
        kind, what = UNREADABLE, f"is {'a folder' if path.is_dir() else 'no file'}; move it away"
    except FileNotFoundError:
        is_link = path.is_symlink()
        kind, what = (
            ("no labels", "is not there") if is_labels and not is_link else (UNREADABLE, "is not there any more")
        )
        what = f"is a link to {os.readlink(path)}, which is not there" if is_link else what
    except OSError as error:
        kind, what = UNREADABLE, f"cannot be read: {error.strerror}"
    problems.append((kind, is_labels, what))
    return None


def _measured(points: np.ndarray) -> tuple[np.ndarray | None, int]:
    """(bool (N,) or None where all points are measurements, number of points that are not finite)."""
    # In most scans two passes over all numbers show that there is nothing to look for. NaN is not below anything.
    largest = np.abs(points).max(initial=0)
    if largest < MAX_COORDINATE_M and points[:, 0].all():
        return None, 0
    num_not_finite = 0 if np.isfinite(largest) else int(np.count_nonzero(~np.isfinite(points).all(axis=1)))
    return is_measured(points), num_not_finite


def _digest(points: np.ndarray) -> str:
    drawn = points[:: max(1, len(points) // _MOST_DIGESTED)]
    return f"{len(points)}:{hashlib.blake2b(drawn.tobytes(), digest_size=8).hexdigest()}"


def _wrong_count(num_labels: int, num_points: int) -> str:
    return (
        f"{counted(num_labels, 'label')} for {counted(num_points, 'point')}, expected one a point: the two files do "
        "not belong together or one is incomplete, copy both again"
    )
