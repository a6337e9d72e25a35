"""Where predictions go, how they are written, and the truth that may lie beside the scans."""

from pathlib import Path

import numpy as np

from pvd_core.borders.errors import UserError
from pvd_core.borders.files import written_atomically
from pvd_core.taxonomy import UnknownLabelError, class_ids_from_raw, raw_from_class_ids


def label_paths(clouds, inputs, out):
    """{cloud: path of its .label} below `out`.

    A scan goes to `out/NAME.label`. One found in sub-folders of an input keeps them, `velodyne` becoming `predictions`,
    so that a data set gives `out/sequences/SS/predictions/NAME.label`, as the benchmark wants it.
    """
    paths = {cloud: Path(out) / _relative_label_path(cloud, inputs) for cloud in clouds}
    cloud_of_path = {}
    for cloud, path in paths.items():
        if path in cloud_of_path:
            raise UserError(
                f"{cloud_of_path[path]} and {cloud} would both be written to {path}; label them with two commands"
            )
        cloud_of_path[path] = cloud
    return paths


def write_labels(path, class_ids):
    """Raw SemanticKITTI ids, uint32, one a point in the scan's order."""
    with written_atomically(path) as temporary:
        raw_from_class_ids(class_ids).astype("<u4").tofile(temporary)


def read_labels(path):
    """Class ids of a .label file, uint8 (N,)."""
    try:
        return class_ids_from_raw(np.fromfile(path, dtype="<u4"))
    except UnknownLabelError as error:
        raise UserError(f"{path}: {error}") from error


def true_labels(cloud, num_points):
    """(class ids (N,) or None, why not or "") from `labels/NAME.label` beside `velodyne/NAME.bin`."""
    path = cloud.parent.parent / "labels" / f"{cloud.stem}.label"
    if cloud.parent.name != "velodyne" or not path.is_file():
        return None, ""
    data = path.read_bytes()
    if len(data) != 4 * num_points:
        return None, f"{path}: {len(data)} bytes for {num_points} points found, 4 a point expected"
    try:
        return class_ids_from_raw(np.frombuffer(data, dtype="<u4")), ""
    except UnknownLabelError as error:
        return None, f"{path}: {error}"


def _relative_label_path(cloud, inputs):
    """A cloud found in a folder keeps its place below that folder."""
    folder = next((given for given in inputs if given.is_dir() and given in cloud.parents), cloud.parent)
    parts = ["predictions" if part == "velodyne" else part for part in cloud.relative_to(folder).parts[:-1]]
    return Path(*parts, f"{cloud.stem}.label")
