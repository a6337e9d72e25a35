"""A set of classes: names, raw ids and back, colours.

Raw ids stand in the low 16 bits of `.label` files; networks use class ids 0..C-1, 0 = ignored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from pvd_core.borders.errors import UserError, unknown_name
from pvd_core.borders.wording import counted, shown

_NUM_RAW_IDS = 1 << 16
_MOVING = "moving-"


class UnknownLabelError(UserError):
    """A raw id that a taxonomy does not define."""


@dataclass(frozen=True)
class Taxonomy:
    """A set of C classes, the ignored class 0 among them. Two of the same name are equal.

    ValueError where the fields do not fit together.
    """

    name: str
    """How settings and the headers of weights name it."""
    title: str = field(compare=False)
    """How messages name it."""
    names: tuple[str, ...] = field(compare=False, repr=False)
    """Of the classes, by class id."""
    raw_ids: tuple[tuple[int, ...], ...] = field(compare=False, repr=False)
    """Those of each class; predictions are written as the first one."""
    raw_names: Mapping[int, str] = field(compare=False, repr=False)
    """{raw id: its name} of all raw ids that label files may hold."""
    colours: np.ndarray = field(compare=False, repr=False)
    """RGB, uint8 (C, 3)."""
    minority: tuple[int, ...] = field(compare=False, repr=False)
    """Ids of classes with at most 1 % of all points: the minority classes of the PVD paper."""

    def __post_init__(self) -> None:
        all_raw_ids = [raw_id for raw_ids in self.raw_ids for raw_id in raw_ids]
        if not len(self.names) == len(set(self.names)) == len(self.raw_ids) == len(self.colours):
            raise ValueError(f"{self.name}: expected as many different names as raw ids and colours")
        if sorted(all_raw_ids) != sorted(self.raw_names):
            raise ValueError(f"{self.name}: expected each of the named raw ids in one class")

    @property
    def num_classes(self) -> int:
        """C, the number of channels of a network's class scores."""
        return len(self.names)

    @property
    def moving(self) -> tuple[int, ...]:
        """Ids of the classes of moving objects, where still ones have others; () where they share their class."""
        return tuple(i for i, name in enumerate(self.names) if name.startswith(_MOVING))

    @property
    def is_minority_C(self) -> np.ndarray:
        """bool (C,): whether each class is one of `minority`."""
        return np.isin(np.arange(self.num_classes), self.minority)

    def id_of(self, name: str) -> int:
        """The class id of a name; UserError for the ignored class and for an unknown name, with the closest match."""
        if name not in self.names[1:]:
            raise unknown_name("class", name, self.names[1:])
        return self.names.index(name)

    def ids_of(self, names: Sequence[str]) -> tuple[int, ...]:
        """Class ids of those of `names` that are here, and of their moving kinds ("moving-car" of "car"), ascending."""
        return tuple(i for i, name in enumerate(self.names) if name.removeprefix(_MOVING) in names)

    def check_names(self, names: object) -> None:
        """Raises UserError, which says what was found, unless `names` are those of the classes in their order."""
        if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
            raise UserError(f"classes are {shown(names)}: expected the {self.num_classes} names of {self.title}")
        if tuple(names) == self.names:
            return
        expected = f"expected the {self.num_classes} of {self.title} in their order, {self.names[0]} first"
        if tuple(reversed(names)) == self.names:
            raise UserError(f"classes are in reverse order: {expected}")
        if len(names) != self.num_classes:
            raise UserError(f"there are {counted(len(names), 'class name')} ({shown(names)}): {expected}")
        class_id = next(i for i, (name, known) in enumerate(zip(names, self.names, strict=True)) if name != known)
        what = "other classes" if set(names) - set(self.names) else "the same classes in another order"
        raise UserError(
            f"{what}: class {class_id} is {shown(names[class_id])} instead of {self.names[class_id]!r}; {expected}"
        )

    def class_ids_from_raw(self, raw_labels: np.ndarray, unknown: str = "error") -> np.ndarray:
        """Class ids, uint8 (N,), of raw labels from a `.label` file: unsigned integers (N,), of which only the low 16
        bits count. `unknown`: for ids that the taxonomy does not define "error" raises UnknownLabelError, "ignore"
        returns class 0."""
        raw_ids = np.asarray(raw_labels).astype(np.uint32) & (_NUM_RAW_IDS - 1)
        class_ids = self._class_of_raw[raw_ids]
        is_unknown = class_ids == self.num_classes
        if is_unknown.any():
            if unknown != "ignore":
                raise UnknownLabelError(f"{_ids_found(raw_ids[is_unknown])}; {self.title} defines {self._defined}")
            class_ids = np.where(is_unknown, 0, class_ids).astype(np.uint8)
        return class_ids

    def raw_from_class_ids(self, class_ids: np.ndarray) -> np.ndarray:
        """Raw ids, uint32 (N,), to write to a `.label` file for class ids (N,)."""
        return self._raw_of_class[np.asarray(class_ids)]

    @cached_property
    def _class_of_raw(self) -> np.ndarray:
        """uint8, by raw id; C for unknown ones."""
        table = np.full(_NUM_RAW_IDS, self.num_classes, dtype=np.uint8)
        for class_id, raw_ids in enumerate(self.raw_ids):
            table[list(raw_ids)] = class_id
        return table

    @cached_property
    def _raw_of_class(self) -> np.ndarray:
        return np.array([raw_ids[0] for raw_ids in self.raw_ids], dtype=np.uint32)

    @property
    def _defined(self) -> str:
        return ", ".join(map(str, self.raw_names))


def _ids_found(raw_ids: np.ndarray) -> str:
    ids, counts = np.unique(raw_ids, return_counts=True)
    found = ", ".join(f"{i} ({counted(n, 'point')})" for i, n in zip(ids[:5], counts[:5], strict=True))
    more = f" and {len(ids) - 5} more ids" if len(ids) > 5 else ""
    return f"unknown raw label ids {found}{more}"
