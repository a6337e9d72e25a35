"""Finds bags: those below a folder, or those that a text file lists."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from pvd_core.borders.errors import UserError
from pvd_core.borders.wording import counted
from pvd_ros.bags.folder import METADATA, bare_name, is_split_bag, kind_of
from pvd_ros.fleet.records import FOLDER

_LARGEST_LIST = 64 * 2**20


class FoundBag(NamedTuple):
    """A bag, or what should be one. name: its place below the folder of the results, as in "monday/drive". problem: why
    it cannot be labelled, if that is known already; else ""."""

    name: str
    path: Path
    problem: str = ""


class FoundBags(NamedTuple):
    """The bags in the order of their names; remarks: what was left out, in plain words."""

    bags: list[FoundBag]
    remarks: list[str]


def find_bags(source: Path | str, out: Path | str) -> FoundBags:
    """The bags below a folder, or those that a text file lists, one a line. What lies in `out`, where results go, what
    another run has written and what is hidden is left out. UserError if there are none, or if two would get the same
    place in `out`."""
    source, out = Path(source), Path(out)
    if not source.exists():
        raise UserError(f"{source} does not exist: expected a folder with bags, or a text file with one bag a line")
    if source.is_dir():
        if _real(source) == _real(out):
            raise UserError(f"{out} is the folder of the bags to label; name another folder with --out")
        found = _Search(source, out).found()
    elif kind_of(source):
        found = FoundBags([FoundBag(_name_of(source, source.parent), source)], [])
    else:
        found = _listed(source)
    if not found.bags:
        left_out = "".join(f"; {remark}" for remark in found.remarks)
        raise UserError(f"no bags in {source}: expected rosbag2 folders, .mcap, .db3 or .bag files{left_out}")
    bags = sorted(found.bags)
    _check_places(bags)
    return FoundBags(bags, found.remarks)


class _Search:
    """Goes through a folder and all in it, also through links to folders, but into each folder once."""

    def __init__(self, root: Path, out: Path) -> None:
        self._root, self._out = root, _real(out)
        self._bags: list[FoundBag] = []
        self._remarks: list[str] = []
        self._seen: dict[Path, Path] = {}

    def found(self) -> FoundBags:
        """All bags."""
        self._look_into(self._root)
        return FoundBags(self._bags, self._remarks)

    def _look_into(self, folder: Path) -> None:
        if not self._is_new(folder):
            return
        try:
            entries = sorted(each for each in folder.iterdir() if not each.name.startswith("."))
            files = [each for each in entries if kind_of(each) and each.is_file()]
            if (folder / METADATA).is_file() or is_split_bag(folder, files):
                self._bags.append(FoundBag(_name_of(folder, self._root), folder))
                return
            if folder != self._root and (folder / FOLDER).is_dir():
                self._remarks.append(f"{folder} is left out: it holds results of an earlier `pvd label-bags`")
                return
            folders = [each for each in entries if each.is_dir()]
        except OSError as error:
            problem = f"the folder cannot be read: {error.strerror or error}"
            self._bags.append(FoundBag(_name_of(folder, self._root), folder, problem))
            return
        for file in files:
            if self._is_new(file):
                self._bags.append(FoundBag(_name_of(file, self._root), file))
        for each in folders:
            self._look_into(each)

    def _is_new(self, path: Path) -> bool:
        real = _real(path)
        if real == self._out:
            self._remarks.append(f"{path} is left out: results go there")
            return False
        if real in self._seen:
            self._remarks.append(f"{path} is left out: it leads to {self._seen[real]}, which is taken already")
            return False
        self._seen[real] = path
        return True


def _listed(source: Path) -> FoundBags:
    """Those of the lines of a text file. Relative paths begin where the command runs, or beside the file."""
    bags: list[FoundBag] = []
    seen: set[Path] = set()
    num_repeated = 0
    for number, line in _lines(source):
        given = Path(line)
        paths = dict.fromkeys(path for path in (given, source.parent / given) if path.exists())
        if len(set(map(_real, paths))) > 1:
            places = " and ".join(str(path) for path in paths)
            raise UserError(f"{source} line {number} may be {places}: write the whole path")
        path = next(iter(paths), given)
        if _real(path) in seen:
            num_repeated += 1
            continue
        seen.add(_real(path))
        problem = "" if paths else f"there is nothing at this path (line {number} of {source})"
        bags.append(FoundBag(_name_in_list(given), path, problem))
    repeated = f"{counted(num_repeated, 'line')} of {source} name bags that others name already"
    return FoundBags(bags, [repeated] if num_repeated else [])


def _lines(source: Path) -> list[tuple[int, str]]:
    """(number from 1 on, text) of the lines that are neither empty nor begin with #."""
    no_list = UserError(f"{source} is no text file with one bag a line: give such a file, or a folder with bags")
    try:
        if not source.is_file() or source.stat().st_size > _LARGEST_LIST:
            raise no_list
        text = source.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise no_list from None
    except OSError as error:
        raise UserError(f"{source} cannot be read: {error.strerror or error}") from error
    if "\0" in text:
        raise no_list
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1)]
    return [(number, line) for number, line in lines if line and not line.startswith("#")]


def _name_of(path: Path, root: Path) -> str:
    """The path below `root`, a file without its suffix; the root itself has its own name."""
    relative = path.relative_to(root) if path != root else Path(path.resolve().name or "bag")
    return _without_suffix(relative)


def _name_in_list(given: Path) -> str:
    """The path as the list gives it, without what leads out of a folder."""
    path = Path(os.path.abspath(given)) if ".." in given.parts else given
    return _without_suffix(Path(*(part for part in path.parts if part != path.anchor)))


def _without_suffix(path: Path) -> str:
    name = path.name if path.is_dir() else bare_name(path) or path.name
    return PurePosixPath(*path.parts[:-1], name).as_posix()


def _real(path: Path) -> Path:
    """Without links; also of a path that leads nowhere."""
    return Path(os.path.realpath(path))


def _check_places(bags: list[FoundBag]) -> None:
    path_of: dict[str, Path] = {}
    for bag in bags:
        places = [bag.name, *(str(parent) for parent in PurePosixPath(bag.name).parents)]
        if taken := next((place for place in places if place in path_of), None):
            raise UserError(
                f"{path_of[taken]} and {bag.path} would both be written to {taken!r} in the folder of the results; "
                f"rename one of them, or label them by two commands with an --out of their own"
            )
        path_of[bag.name] = bag.path
