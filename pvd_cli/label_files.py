"""Label files: where those of predictions go, writing and reading them, and the truth beside scans."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from pvd_core.borders.errors import UserError
from pvd_core.borders.files import written_atomically
from pvd_core.taxonomy import Taxonomy, UnknownLabelError


def label_paths(clouds: Iterable[Path], inputs: Sequence[Path], out: str | Path) -> dict[Path, Path]:
    """{cloud: path of its label file} in the folder `out`. UserError where two clouds get the same path.

    The labels of a scan go to `out/NAME.label`. If the scan is in sub-folders of one of `inputs`, so are the labels,
    but in `predictions` instead of `velodyne`: `out/sequences/SS/predictions/NAME.label`, as the benchmark wants it.
    """
    paths = {cloud: Path(out) / _relative_label_path(cloud, inputs) for cloud in clouds}
    cloud_of_path: dict[Path, Path] = {}
    for cloud, path in paths.items():
        if path in cloud_of_path:
            raise UserError(
                f"{cloud_of_path[path]} and {cloud} would both be written to {path}; label them with two commands"
            )
        cloud_of_path[path] = cloud
    return paths


def label_bytes(class_ids: np.ndarray, taxonomy: Taxonomy) -> bytes:
    """The content of a .label file for class ids of `taxonomy` (N,): raw ids, one uint32 for each point in the order of
    the scan."""
    return taxonomy.raw_from_class_ids(class_ids).astype("<u4").tobytes()


def write_labels(path: Path, content: bytes) -> None:
    """Writes a .label file, whole or not at all."""
    with written_atomically(path) as temporary:
        temporary.write_bytes(content)


def read_labels(path: Path, taxonomy: Taxonomy) -> np.ndarray:
    """Class ids of `taxonomy` in a .label file, uint8 (N,). UserError for an unknown raw id."""
    try:
        return taxonomy.class_ids_from_raw(np.fromfile(path, dtype="<u4"))
    except UnknownLabelError as error:
        raise UserError(f"{path}: {error}") from error


def true_labels(cloud: Path, num_points: int, taxonomy: Taxonomy) -> tuple[np.ndarray | None, str]:
    """(class ids of `taxonomy` uint8 (N,) or None, reason) from `labels/NAME.label` beside `velodyne/NAME.bin`. The
    reason says what is wrong with the label file; it is "" if nothing is or if there is none."""
    path = cloud.parent.parent / "labels" / f"{cloud.stem}.label"
    if cloud.parent.name != "velodyne" or not path.is_file():
        return None, ""
    data = path.read_bytes()
    if len(data) != 4 * num_points:
        return None, f"{path}: {len(data)} bytes for {num_points} points found, 4 a point expected"
    try:
        return taxonomy.class_ids_from_raw(np.frombuffer(data, dtype="<u4")), ""
    except UnknownLabelError as error:
        return None, f"{path}: {error}"


def _relative_label_path(cloud: Path, inputs: Sequence[Path]) -> Path:
    """A cloud in one of the input folders keeps its path relative to that folder."""
    folder = next((given for given in inputs if given.is_dir() and given in cloud.parents), cloud.parent)
    parts = ["predictions" if part == "velodyne" else part for part in cloud.relative_to(folder).parts[:-1]]
    return Path(*parts, f"{cloud.stem}.label")
