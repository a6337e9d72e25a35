"""Coefficients and thresholds of M2SKD; the defaults are those of the released code."""

from dataclasses import dataclass

import numpy as np

from pvd_core.borders.errors import UserError
from pvd_core.borders.wording import shown
from pvd_core.taxonomy import Taxonomy

HARD_CLASSES = ("bicycle", "motorcycle", "truck", "other-vehicle", "person", "bicyclist", "motorcyclist")
"""Things of which one scan often shows little. Cars are not among them."""

_COEFFICIENTS = ("changed", "logit", "feature", "class_affinity", "instance_affinity")
_THRESHOLDS = ("logit_threshold", "feature_threshold")


@dataclass(frozen=True)
class MultiToSingleLossConfig:
    """A coefficient of 0 leaves its term out. Impossible settings raise UserError."""

    changed: float = 0.2
    """Of the cross-entropy of the enriched pass on voxels whose label appeared or changed by the fusion."""
    logit: float = 5.0
    """Of the difference of class probabilities."""
    feature: float = 0.0
    """Of the difference of features. The released code computes it and multiplies it by 0."""
    class_affinity: float = 1.0
    """Of the difference of similarities between all voxels of a hard class in the batch."""
    instance_affinity: float = 0.0
    """The same between the voxels of one object. The released code groups by class alone."""
    logit_scale: float = 0.3
    """Class scores are multiplied by this before the softmax: a temperature of 1 / 0.3 = 3.33."""
    logit_threshold: float = 0.01
    """Voxels count whose difference of probabilities is larger."""
    feature_threshold: float = 1.0
    """Sites count whose mean squared difference of features is larger."""
    feature_stage: str | None = None
    """Part of the network whose output is compared by `feature`, "stem" for one; null: the step up that gives half
    resolution, as in the released code: "decoder 2" of Cylinder3D, "up 3" of MinkUNet and SPVCNN."""
    hard_classes: tuple[str, ...] = HARD_CLASSES
    """Names of the classes whose objects are fused and compared."""
    num_affinity_rows: int = 2048
    """Most voxels of a class that are compared; more are drawn from at random."""

    def __post_init__(self) -> None:
        for name in (*_COEFFICIENTS, *_THRESHOLDS):
            if not getattr(self, name) >= 0:
                raise UserError(f"multi_to_single: {name} is {getattr(self, name)}: expected at least 0")
        if not self.logit_scale > 0:
            raise UserError(f"multi_to_single: logit_scale is {self.logit_scale}: expected more than 0")
        if self.num_affinity_rows < 2:
            raise UserError(f"multi_to_single: num_affinity_rows is {self.num_affinity_rows}: expected at least 2")
        if not any(getattr(self, name) for name in _COEFFICIENTS):
            raise UserError(
                f"multi_to_single: {', '.join(_COEFFICIENTS)} are all 0, so that the enriched pass teaches nothing: "
                "give one a positive value, or leave the section out"
            )
        if not self.hard_classes or len(set(self.hard_classes)) < len(self.hard_classes):
            names = shown(list(self.hard_classes))
            raise UserError(f"multi_to_single: hard_classes are {names}: expected at least one, each once")

    def settings_without_effect(self) -> list[str]:
        """A line for each setting that is not at its default, but has no effect because its term has coefficient 0."""
        of_terms = {
            "logit": ("logit_scale", "logit_threshold"),
            "feature": ("feature_threshold", "feature_stage"),
        }
        return [
            f"multi_to_single.loss.{name} has no effect: {term} is 0"
            for term, names in of_terms.items()
            for name in names
            if not getattr(self, term) and getattr(self, name) != getattr(MultiToSingleLossConfig, name)
        ]

    def hard_ids(self, taxonomy: Taxonomy) -> tuple[int, ...]:
        """Class ids of the hard classes and of their moving kinds, ascending; UserError for an unknown name."""
        return hard_ids(self.hard_classes, taxonomy)

    def is_hard_C(self, taxonomy: Taxonomy) -> np.ndarray:
        """bool (C,): whether each class is a hard one."""
        return np.isin(np.arange(taxonomy.num_classes), self.hard_ids(taxonomy))


def hard_ids(names: tuple[str, ...], taxonomy: Taxonomy) -> tuple[int, ...]:
    """Class ids of these names and of their moving kinds, ascending; UserError for an unknown name."""
    for name in names:
        taxonomy.id_of(name)
    return taxonomy.ids_of(names)
