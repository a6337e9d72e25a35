"""The 19 classes of SemanticKITTI for single scans: names, raw ids, colours.

Raw ids stand in the low 16 bits of `.label` files; networks use class ids 0..19, 0 = unlabeled.
"""

import numpy as np

from pvd_core.borders.errors import UserError
from pvd_core.borders.wording import counted, shown

CLASS_NAMES = (
    "unlabeled",
    "car",
    "bicycle",
    "motorcycle",
    "truck",
    "other-vehicle",
    "person",
    "bicyclist",
    "motorcyclist",
    "road",
    "parking",
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
NUM_CLASSES = len(CLASS_NAMES)
"""Number of channels of a network's class scores: 19 classes and the ignored class 0."""

# Raw ids of each class; predictions are written as the first one. For class 5 that is 20, other-vehicle; inverting the
# official learning_map instead would yield another of its ids, such as 13, bus.
_RAW_IDS = (
    (0, 1, 52, 99),
    (10, 252),
    (11,),
    (15,),
    (18, 258),
    (20, 13, 16, 256, 257, 259),
    (30, 254),
    (31, 253),
    (32, 255),
    (40, 60),
    (44,),
    (48,),
    (49,),
    (50,),
    (51,),
    (70,),
    (71,),
    (72,),
    (80,),
    (81,),
)

RAW_NAMES = {
    0: "unlabeled", 1: "outlier", 10: "car", 11: "bicycle", 13: "bus", 15: "motorcycle", 16: "on-rails",
    18: "truck", 20: "other-vehicle", 30: "person", 31: "bicyclist", 32: "motorcyclist", 40: "road",
    44: "parking", 48: "sidewalk", 49: "other-ground", 50: "building", 51: "fence", 52: "other-structure",
    60: "lane-marking", 70: "vegetation", 71: "trunk", 72: "terrain", 80: "pole", 81: "traffic-sign",
    99: "other-object", 252: "moving-car", 253: "moving-bicyclist", 254: "moving-person",
    255: "moving-motorcyclist", 256: "moving-on-rails", 257: "moving-bus", 258: "moving-truck",
    259: "moving-other-vehicle",
}  # fmt: skip

# RGB, a row for each class id. The official file lists the same colours as BGR.
CLASS_COLOURS = np.array(
    [
        (0, 0, 0), (100, 150, 245), (100, 230, 245), (30, 60, 150), (80, 30, 180), (0, 0, 255),
        (255, 30, 30), (255, 40, 200), (150, 30, 90), (255, 0, 255), (255, 150, 255), (75, 0, 75),
        (175, 0, 75), (255, 200, 0), (255, 120, 50), (0, 175, 0), (135, 60, 0), (150, 240, 80),
        (255, 240, 150), (255, 0, 0),
    ],
    dtype=np.uint8,
)  # fmt: skip

# Classes with at most 1 % of all points: the minority classes of the PVD paper.
MINORITY_CLASSES = (2, 3, 4, 5, 6, 7, 8, 12, 16, 18, 19)

_UNKNOWN = 255
_CLASS_OF_RAW = np.full(1 << 16, _UNKNOWN, dtype=np.uint8)
for _class_id, _raw_ids in enumerate(_RAW_IDS):
    _CLASS_OF_RAW[list(_raw_ids)] = _class_id
_RAW_OF_CLASS = np.array([raw_ids[0] for raw_ids in _RAW_IDS], dtype=np.uint32)


class UnknownLabelError(UserError):
    """A raw id that SemanticKITTI does not define."""


def check_class_names(names: object) -> None:
    """Raises UserError, which says what was found, unless `names` are CLASS_NAMES in their order."""
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise UserError(f"classes are {shown(names)}: expected the {NUM_CLASSES} names of SemanticKITTI")
    if tuple(names) == CLASS_NAMES:
        return
    expected = f"expected the {NUM_CLASSES} of SemanticKITTI in their order, {CLASS_NAMES[0]} first"
    if tuple(reversed(names)) == CLASS_NAMES:
        raise UserError(f"classes are in reverse order: {expected}")
    if len(names) != NUM_CLASSES:
        raise UserError(f"there are {counted(len(names), 'class name')} ({shown(names)}): {expected}")
    class_id = next(i for i, (name, known) in enumerate(zip(names, CLASS_NAMES, strict=True)) if name != known)
    what = "other classes" if set(names) - set(CLASS_NAMES) else "the same classes in another order"
    raise UserError(
        f"{what}: class {class_id} is {shown(names[class_id])} instead of {CLASS_NAMES[class_id]!r}; {expected}"
    )


def class_ids_from_raw(raw_labels: np.ndarray, unknown: str = "error") -> np.ndarray:
    """Class ids 0..19, uint8 (N,), of raw labels from a `.label` file: unsigned integers (N,), of which only the low 16
    bits count. `unknown`: for ids that SemanticKITTI does not define "error" raises UnknownLabelError, "ignore" returns
    class 0."""
    raw_ids = np.asarray(raw_labels).astype(np.uint32) & 0xFFFF
    class_ids = _CLASS_OF_RAW[raw_ids]
    is_unknown = class_ids == _UNKNOWN
    if is_unknown.any():
        if unknown != "ignore":
            ids, counts = np.unique(raw_ids[is_unknown], return_counts=True)
            found = ", ".join(f"{i} ({counted(n, 'point')})" for i, n in zip(ids[:5], counts[:5], strict=True))
            more = f" and {len(ids) - 5} more ids" if len(ids) > 5 else ""
            raise UnknownLabelError(
                f"unknown raw label ids {found}{more}; SemanticKITTI defines {', '.join(map(str, RAW_NAMES))}"
            )
        class_ids = np.where(is_unknown, 0, class_ids).astype(np.uint8)
    return class_ids


def raw_from_class_ids(class_ids: np.ndarray) -> np.ndarray:
    """Raw ids, uint32 (N,), to write to a `.label` file for class ids 0..19 (N,)."""
    return _RAW_OF_CLASS[np.asarray(class_ids)]
