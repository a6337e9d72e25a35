"""The folder of cut objects: `about.json`, and `SS/NNNNNN.npz` for each scan. M points of objects of one scan."""

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pvd_core.borders.errors import UserError
from pvd_core.borders.files import write_atomically, written_atomically
from pvd_core.borders.wording import shown

_ABOUT = "about.json"
# To be raised when files hold something else.
_FORMAT = 1
_TYPES = {"points": np.float32, "class_ids": np.uint8, "instances": np.uint16}


@dataclass(frozen=True)
class Cut:
    """The points of all objects of hard classes in one scan, and how many points of these classes are left out."""

    points: np.ndarray  # float32 (M, 4), in the frame of the scan's sensor
    class_ids: np.ndarray  # uint8 (M,)
    instances: np.ndarray  # uint16 (M,), at least 1
    num_without_id: int = 0
    """Points with instance id 0."""
    num_shared: int = 0
    """Points of ids that several things share, see `width`."""

    def objects(self) -> set[tuple[int, int]]:
        """(class id, instance id) of each."""
        return set(zip(self.class_ids.tolist(), self.instances.tolist(), strict=True))

    def of_classes(self, class_ids: tuple[int, ...]) -> "Cut":
        """The objects of these classes alone."""
        is_kept = np.isin(self.class_ids, class_ids)
        return Cut(self.points[is_kept], self.class_ids[is_kept], self.instances[is_kept])


class InstanceFolder:
    """The cuts of the scans of one data set. `about`: what they depend on, JSON-able.

    A folder that is new or empty is started with `about`; UserError for one that holds something else.
    """

    def __init__(self, root: str | Path, about: Mapping[str, Any]) -> None:
        self.root, self.about = Path(root), {"format": _FORMAT, **about}
        if not (self.root / _ABOUT).exists():
            self._start()
        found = _read_about(self.root)
        if different := [key for key in self.about if found.get(key) != self.about[key]]:
            key = different[0]
            raise UserError(
                f"{self.root} holds objects cut with {key} = {shown(found.get(key))}, here it is "
                f"{shown(self.about[key])}: name another folder, or delete this one"
            )

    def write(self, name: str, cut: Cut) -> None:
        """Keeps the cut of the scan with this name, such as 00/000012, whole or not at all."""
        points, class_ids, instances = (np.asarray(getattr(cut, key), dtype=kind) for key, kind in _TYPES.items())
        with written_atomically(self._path(name)) as temporary, temporary.open("wb") as file:
            np.savez_compressed(
                file,
                points=points,
                class_ids=class_ids,
                instances=instances,
                num_left_out=np.array([cut.num_without_id, cut.num_shared], dtype=np.int64),
            )

    def read_if_whole(self, name: str) -> Cut | None:
        """The cut of a scan; None where there is none, or a damaged one."""
        try:
            return _read_cut(self._path(name))
        except (FileNotFoundError, UserError):
            return None

    def _path(self, name: str) -> Path:
        return _path(self.root, name)

    def _start(self) -> None:
        try:
            found = sorted(path.name for path in self.root.iterdir()) if self.root.exists() else []
        except OSError as error:
            raise UserError(f"{self.root} cannot be used: {error.strerror}; name a folder") from error
        if found:
            raise UserError(f"{self.root} is not empty (it holds {found[0]!r}): name a new or empty folder")
        write_atomically(self.root / _ABOUT, (json.dumps(self.about, indent=2) + "\n").encode())


def read_cut(root: Path, name: str) -> Cut:
    """The cut of the scan with this name, such as 00/000012; UserError where it is missing or damaged."""
    path = _path(root, name)
    try:
        return _read_cut(path)
    except FileNotFoundError as error:
        raise UserError(
            f"there are no cut objects of scan {name}: expected {path}; run `pvd dataset instances` again, it goes on "
            "where it stopped"
        ) from error


def check_instances(root: str | Path, taxonomy: str, class_ids: tuple[int, ...]) -> None:
    """UserError unless `root` holds objects of a taxonomy, by its name, of at least these classes."""
    about = _read_about(Path(root))
    for key, expected in (("format", _FORMAT), ("taxonomy", taxonomy)):
        if about.get(key) != expected:
            raise UserError(
                f"{root} holds objects cut with {key} {shown(about.get(key))}, expected {shown(expected)}: cut them "
                "again into another folder with `pvd dataset instances`"
            )
    if missing := sorted(set(class_ids) - set(about.get("class_ids", ()))):
        raise UserError(
            f"{root} lacks objects of classes {missing}, which multi_to_single.loss.hard_classes name: cut them too "
            "with `pvd dataset instances ... --classes`, or leave them out of hard_classes"
        )


def _path(root: Path, name: str) -> Path:
    return root / f"{name}.npz"


def _read_about(root: Path) -> dict[str, Any]:
    path = root / _ABOUT
    try:
        about = json.loads(path.read_text())
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}): expected a folder that `pvd dataset instances` made"
        ) from error
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}); delete the folder and cut the objects again") from error
    if not isinstance(about, dict):
        raise UserError(f"{path} holds {shown(about)}: expected a folder that `pvd dataset instances` made")
    return about


def _read_cut(path: Path) -> Cut:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in _TYPES}
            num_without_id, num_shared = map(int, file["num_left_out"])
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is damaged ({error}); `pvd dataset instances` cuts it again") from error
    num_points = len(arrays["points"]) if arrays["points"].ndim else -1
    shapes = {"points": (num_points, 4), "class_ids": (num_points,), "instances": (num_points,)}
    for key, kind in _TYPES.items():
        if arrays[key].dtype != kind or arrays[key].shape != shapes[key]:
            raise UserError(
                f"{path} is damaged: {key} is {arrays[key].dtype} {arrays[key].shape}, expected {np.dtype(kind)} "
                f"{shapes[key]}; `pvd dataset instances` cuts it again"
            )
    return Cut(**arrays, num_without_id=num_without_id, num_shared=num_shared)
