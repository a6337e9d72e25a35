"""The file by which a sequence in SemanticKITTI's layout says that it was exported from a labelled bag."""

from pathlib import Path

EXPORT_FILE = "export.json"


def is_exported(sequence: Path) -> bool:
    """Whether the folder of a sequence was exported. Its points have the network's frame and intensity then: they are
    not to be scaled again, by what other clouds of the bag or a few mirrors among them seem to tell."""
    return (sequence / EXPORT_FILE).is_file()
