"""The file by which a sequence in SemanticKITTI's layout says that it was exported from a labelled bag."""

from collections.abc import Iterable
from pathlib import Path

EXPORT_FILE = "export.json"


def is_exported(sequence: Path) -> bool:
    """Whether the folder of a sequence was exported. Its points have the network's frame and intensity then: they are
    not to be scaled again, by what other clouds of the bag or a few mirrors among them seem to tell."""
    return (sequence / EXPORT_FILE).is_file()


def are_exported(sequences: Iterable[Path]) -> bool:
    """Whether all of these folders, and at least one, are those of exported sequences."""
    folders = set(sequences)
    return bool(folders) and all(map(is_exported, folders))


def sequences_of(scans: Iterable[Path]) -> set[Path]:
    """The folders of the sequences in which scan files lie, SS/velodyne/NAME, if they do."""
    return {scan.parent.parent for scan in scans}
