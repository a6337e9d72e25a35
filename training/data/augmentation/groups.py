"""Groups of classes that are alike to augmentation, by name, so that they are found in any taxonomy."""

from pvd_core.taxonomy import Taxonomy

_RARE = ("bicycle", "motorcycle", "truck", "other-vehicle", "person", "bicyclist", "motorcyclist")
_PAVED = ("road", "parking", "sidewalk")
_GROUND = (*_PAVED, "other-ground", "terrain")
_BESIDE_THE_ROAD = (
    "bicycle",
    "person",
    "sidewalk",
    "other-ground",
    "building",
    "fence",
    "vegetation",
    "trunk",
    "terrain",
    "pole",
    "traffic-sign",
)


def rare_classes(taxonomy: Taxonomy) -> tuple[int, ...]:
    """Class ids of vehicles other than cars, and of people."""
    return taxonomy.ids_of(_RARE)


def ground_classes(taxonomy: Taxonomy) -> tuple[int, ...]:
    """Class ids of all kinds of ground."""
    return taxonomy.ids_of(_GROUND)


def paved_classes(taxonomy: Taxonomy) -> tuple[int, ...]:
    """Class ids of the ground that vehicles and people are on."""
    return taxonomy.ids_of(_PAVED)


def classes_beside_the_road(taxonomy: Taxonomy) -> tuple[int, ...]:
    """Class ids of what stands on the other side of a kerb."""
    return taxonomy.ids_of(_BESIDE_THE_ROAD)
