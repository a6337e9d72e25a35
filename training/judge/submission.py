"""A submission to the SemanticKITTI benchmark: the labels of every scan of the test sequences, in one zip.

The official validator wants a `.zip` with an entry for each folder, with `sequences/SS/predictions/NNNNNN.label` for
each scan of sequences 11 to 21, and with nothing else. A label is a raw id, as uint32.
"""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pvd_core.borders.errors import UserError, naming_scan
from pvd_core.borders.files import written_atomically
from pvd_core.committee import AnySegmenter
from pvd_core.taxonomy import Taxonomy
from training.data.dataset import SPLITS, ScanFolder
from training.data.fused_scans import FusedScans
from training.judge.votes import segment_by_votes


def write_submission(
    dataset_root: str | Path,
    segmenter: AnySegmenter,
    path: Path,
    num_votes: int = 1,
    allows_missing: bool = False,
    progress: Callable[[int, int], object] | None = None,
    columns: str | int = 4,
    note: Callable[[str], object] = lambda remark: None,
) -> int:
    """Labels the test split of a data set and writes the zip `path`, whole or not at all. Returns the number of scans.

    `num_votes`: 1 to 8, of test-time augmentation. `allows_missing`: sequences of the test split may be missing (the
    server refuses such a file); otherwise they are a UserError. `progress(num_done, num_all)` is called after each
    scan. `columns`: of the .bin files, see ScanFolder. Where the weights expect past scans behind each, sequences need
    poses; `note(remark)` is called with what is to be said of these.
    """
    if path.suffix != ".zip":
        raise UserError(f"submission {path}: the server takes .zip files only; name it {path.with_suffix('.zip').name}")
    folder = ScanFolder(dataset_root, "test", columns)
    if folder.missing_sequences and not allows_missing:
        raise UserError(
            f"{folder.root} lacks the test sequences {', '.join(folder.missing_sequences)}: the server refuses a "
            f"submission without all of {', '.join(SPLITS['test'])}; --allow-missing writes it all the same"
        )
    scans = FusedScans(folder, segmenter.past_scans)
    for remark in scans.remarks:
        note(remark)
    with written_atomically(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        # The validator looks for entries of folders.
        archive.writestr("sequences/", "")
        for sequence in folder.sequences:
            archive.writestr(f"sequences/{sequence}/", "")
            archive.writestr(f"sequences/{sequence}/predictions/", "")
        for index, scan in enumerate(folder.scans):
            points = scans.points(index)
            num_own = scan.points_path.stat().st_size // folder.columns.point_bytes
            with naming_scan(scan.points_path):
                labels = segment_by_votes(segmenter, points, num_votes).labels[:num_own]
            raw = segmenter.taxonomy.raw_from_class_ids(labels).astype("<u4")
            archive.writestr(f"sequences/{scan.sequence}/predictions/{scan.frame}.label", raw.tobytes())
            if progress is not None:
                progress(index + 1, len(folder))
    return len(folder)


def check_submission(
    path: str | Path, dataset_root: str | Path, allows_missing: bool = False, columns: str | int = 4
) -> list[str]:
    """The reasons for which the server would refuse the zip `path`, a line each; none when it passes.
    `allows_missing`: missing test sequences are no reason."""
    folder = ScanFolder(dataset_root, "test", columns)
    problems = [] if str(path).endswith(".zip") else [f"{path} does not end in .zip"]
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        return [*problems, f"{path} cannot be read as a zip: {error}"]
    with archive:
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
        wanted = {"sequences/"}
        for sequence in folder.sequences if allows_missing else SPLITS["test"]:
            wanted |= {f"sequences/{sequence}/", f"sequences/{sequence}/predictions/"}
        problems += [f"no entry for the folder {name}" for name in sorted(wanted - sizes.keys())]
        for scan in folder.scans:
            name = f"sequences/{scan.sequence}/predictions/{scan.frame}.label"
            num_points = scan.points_path.stat().st_size // folder.columns.point_bytes
            if name not in sizes:
                problems.append(f"{name} is missing")
            elif sizes.pop(name) != 4 * num_points:
                problems.append(f"{name} does not hold one uint32 for each of {num_points} points")
            else:
                problems += _unknown_ids(archive, name, folder.taxonomy)
        problems += [f"{name} does not belong there" for name in sorted(sizes.keys() - wanted)]
    return problems


def _unknown_ids(archive: zipfile.ZipFile, name: str, taxonomy: Taxonomy) -> list[str]:
    ids = np.unique(np.frombuffer(archive.read(name), "<u4") & 0xFFFF)
    unknown = [int(value) for value in ids if int(value) not in taxonomy.raw_names]
    return [f"{name} holds ids that {taxonomy.title} does not define: {unknown[:5]}"] if unknown else []
