"""Whether labels and truth are of the same classes, and of those that were asked for."""

from pathlib import Path

from pvd_core.borders.errors import UserError
from pvd_core.committee import AnySegmenter
from pvd_core.taxonomy import Taxonomy, taxonomy_named
from pvd_core.weights import read_facts, taxonomy_of
from training.data.dataset import ScanFolder


def taxonomy_in(weights: str | Path, asked: str | None = None) -> Taxonomy:
    """The taxonomy of a weights file; UserError where it is not the one whose name was asked for."""
    taxonomy = taxonomy_of(read_facts(weights))
    if asked is not None and taxonomy != taxonomy_named(asked):
        raise UserError(
            f"weights {weights} have taxonomy {taxonomy.name}, {asked} was asked for: give weights of {asked}"
        )
    return taxonomy


def check_same_classes(segmenter: AnySegmenter, folder: ScanFolder) -> None:
    """ValueError where a folder reads its labels as other classes than those that a Segmenter gives: the same ids would
    mean different things."""
    if segmenter.taxonomy != folder.taxonomy:
        raise ValueError(f"the network has taxonomy {segmenter.taxonomy.name}, the truth {folder.taxonomy.name}")
