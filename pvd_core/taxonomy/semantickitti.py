"""The classes of SemanticKITTI: 19 of the single-scan task, 25 of the multi-scan task, which tells moving objects."""

import numpy as np

from pvd_core.borders.errors import UserError, unknown_name
from pvd_core.borders.wording import shown
from pvd_core.taxonomy.taxonomy import Taxonomy

_RAW_NAMES = {
    0: "unlabeled", 1: "outlier", 10: "car", 11: "bicycle", 13: "bus", 15: "motorcycle", 16: "on-rails",
    18: "truck", 20: "other-vehicle", 30: "person", 31: "bicyclist", 32: "motorcyclist", 40: "road",
    44: "parking", 48: "sidewalk", 49: "other-ground", 50: "building", 51: "fence", 52: "other-structure",
    60: "lane-marking", 70: "vegetation", 71: "trunk", 72: "terrain", 80: "pole", 81: "traffic-sign",
    99: "other-object", 252: "moving-car", 253: "moving-bicyclist", 254: "moving-person",
    255: "moving-motorcyclist", 256: "moving-on-rails", 257: "moving-bus", 258: "moving-truck",
    259: "moving-other-vehicle",
}  # fmt: skip

# (name, RGB, raw ids of both tasks, raw ids that are another class in the multi-scan task). The official file lists the
# same colours as BGR. A class is written as its first raw id. For other-vehicle that is 20; inverting the official
# learning_map instead would yield another of its ids, such as 13, bus.
_CLASSES = (
    ("unlabeled", (0, 0, 0), (0, 1, 52, 99), ()),
    ("car", (100, 150, 245), (10,), (252,)),
    ("bicycle", (100, 230, 245), (11,), ()),
    ("motorcycle", (30, 60, 150), (15,), ()),
    ("truck", (80, 30, 180), (18,), (258,)),
    ("other-vehicle", (0, 0, 255), (20, 13, 16), (256, 257, 259)),
    ("person", (255, 30, 30), (30,), (254,)),
    ("bicyclist", (255, 40, 200), (31,), (253,)),
    ("motorcyclist", (150, 30, 90), (32,), (255,)),
    ("road", (255, 0, 255), (40, 60), ()),
    ("parking", (255, 150, 255), (44,), ()),
    ("sidewalk", (75, 0, 75), (48,), ()),
    ("other-ground", (175, 0, 75), (49,), ()),
    ("building", (255, 200, 0), (50,), ()),
    ("fence", (255, 120, 50), (51,), ()),
    ("vegetation", (0, 175, 0), (70,), ()),
    ("trunk", (135, 60, 0), (71,), ()),
    ("terrain", (150, 240, 80), (72,), ()),
    ("pole", (255, 240, 150), (80,), ()),
    ("traffic-sign", (255, 0, 0), (81,), ()),
)
# The same of the classes that the multi-scan task adds; a moving object has the colour of a still one.
_MOVING = (
    ("moving-car", (100, 150, 245), (252,)),
    ("moving-bicyclist", (255, 40, 200), (253,)),
    ("moving-person", (255, 30, 30), (254,)),
    ("moving-motorcyclist", (150, 30, 90), (255,)),
    ("moving-other-vehicle", (0, 0, 255), (259, 256, 257)),
    ("moving-truck", (80, 30, 180), (258,)),
)
# At most 1 % of all points of the data set, spec 2.3. Of the moving classes none has more than 0.2 %.
_MINORITY = (2, 3, 4, 5, 6, 7, 8, 12, 16, 18, 19)


def _colours(rows: list[tuple[int, int, int]]) -> np.ndarray:
    colours = np.array(rows, dtype=np.uint8)
    colours.setflags(write=False)
    return colours


SEMANTICKITTI = Taxonomy(
    name="semantickitti",
    title="SemanticKITTI",
    names=tuple(name for name, *_ in _CLASSES),
    raw_ids=tuple((*still, *moving) for _, _, still, moving in _CLASSES),
    raw_names=_RAW_NAMES,
    colours=_colours([colour for _, colour, *_ in _CLASSES]),
    minority=_MINORITY,
)
SEMANTICKITTI_MULTISCAN = Taxonomy(
    name="semantickitti-multiscan",
    title="SemanticKITTI's multi-scan task",
    names=tuple(name for name, *_ in (*_CLASSES, *_MOVING)),
    raw_ids=(*(still for _, _, still, _ in _CLASSES), *(raw_ids for *_, raw_ids in _MOVING)),
    raw_names=_RAW_NAMES,
    colours=_colours([colour for _, colour, *_ in (*_CLASSES, *_MOVING)]),
    minority=(*_MINORITY, *range(len(_CLASSES), len(_CLASSES) + len(_MOVING))),
)
TAXONOMIES = {each.name: each for each in (SEMANTICKITTI, SEMANTICKITTI_MULTISCAN)}


def taxonomy_named(name: object) -> Taxonomy:
    """The taxonomy of a name; UserError for an unknown one, with the closest match."""
    if not isinstance(name, str):
        raise UserError(f"taxonomy is {shown(name)}: expected one of {', '.join(TAXONOMIES)}")
    if name not in TAXONOMIES:
        raise unknown_name("taxonomy", name[:80], TAXONOMIES)
    return TAXONOMIES[name]
