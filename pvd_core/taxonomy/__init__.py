"""Sets of classes, and those of SemanticKITTI by name."""

from pvd_core.taxonomy.semantickitti import SEMANTICKITTI, SEMANTICKITTI_MULTISCAN, TAXONOMIES, taxonomy_named
from pvd_core.taxonomy.taxonomy import Taxonomy, UnknownLabelError

__all__ = [
    "SEMANTICKITTI",
    "SEMANTICKITTI_MULTISCAN",
    "TAXONOMIES",
    "Taxonomy",
    "UnknownLabelError",
    "taxonomy_named",
]
