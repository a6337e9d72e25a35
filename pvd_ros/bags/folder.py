"""The files of a bag: those of a folder, which its metadata.yaml lists, or one file alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from pvd_core.borders.wording import counted, shown
from pvd_core.clouds import SUFFIXES
from pvd_ros.bags.channel import BagError

METADATA = "metadata.yaml"
PACKED = ".zstd"
KINDS = (".mcap", ".db3", ".bag")
_EXPECTED = "a rosbag2 folder, an .mcap or .db3 file, or a .bag of ROS 1"
INFORMATION = "rosbag2_bagfile_information"


class BagFiles(NamedTuple):
    """Paths of the files of a bag in their order; how many messages its metadata declare, None if there are none; and
    what is missing, in plain words."""

    paths: list[Path]
    declared: int | None
    damage: list[str]


def files_of(path: Path) -> BagFiles:
    """The files of the bag at `path`. BagError if there is no bag."""
    if not path.exists():
        raise BagError(f"no bag at {path}; expected {_EXPECTED}")
    if path.is_dir():
        return _files_of_folder(path)
    if path.suffix.lower() in SUFFIXES:
        raise BagError(f"{path} is a scan, not a bag; expected {_EXPECTED} (scans: `pvd predict`)")
    if path.name == METADATA:
        return _files_of_folder(path.parent)
    if kind_of(path) is None:
        raise BagError(f"{path} is no bag; expected {_EXPECTED}")
    return BagFiles([path], None, [])


def _files_of_folder(folder: Path) -> BagFiles:
    present = sorted((each for each in folder.iterdir() if each.is_file() and kind_of(each)), key=_in_order)
    if not (folder / METADATA).is_file():
        kinds = {kind_of(each) for each in present}
        if not present:
            raise BagError(f"{folder} is no bag: it has neither {METADATA} nor .mcap or .db3 files")
        if len(kinds) > 1 or (kinds == {".bag"} and len(present) > 1):
            names = ", ".join(each.name for each in present)
            raise BagError(f"{folder} has no {METADATA}, and several bags may be in it: {names}; give one of the files")
        return BagFiles(present, None, [])
    listed, declared = _read_metadata(folder / METADATA)
    paths = [folder / name for name in listed]
    missing = [each.name for each in paths if not each.is_file()]
    if left_out := [each.name for each in present if each not in paths]:
        renamed = f"lists {', '.join(missing)}, which is not there (renamed?), and " if missing else ""
        raise BagError(
            f"{folder / METADATA} {renamed}does not list {', '.join(left_out)}; if they belong to the bag, as after a "
            f"killed recorder, move {METADATA} out of the folder and all files are read; if not, move them out"
        )
    damage = [f"{', '.join(missing)} of {folder} is missing, which {METADATA} lists"] if missing else []
    found = [each for each in paths if each.is_file()]
    if not found and listed:
        raise BagError(f"{damage[0]}; there is no file to read: copy the folder again")
    return BagFiles(found, declared, damage)


def _read_metadata(file: Path) -> tuple[list[str], int]:
    """(names of the files, number of messages)"""
    try:
        content: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise _no_metadata(file, " ".join(str(error).split())) from error
    if content is None:
        raise _no_metadata(file, "it is empty")
    facts = content.get(INFORMATION) if isinstance(content, dict) else None
    if not isinstance(facts, dict):
        raise _no_metadata(file, f"it has no entry {INFORMATION} with facts in it")
    names, count = facts.get("relative_file_paths"), facts.get("message_count")
    if not isinstance(names, list):
        raise _no_metadata(file, f"its relative_file_paths is {shown(names)}, expected a list of files")
    if not isinstance(count, int):
        raise _no_metadata(file, f"its message_count is {shown(count)}, expected a whole number")
    # Only names: old bags have paths from the folder above, and nothing outside the folder is ever read.
    return [Path(str(name)).name for name in names], count


def _no_metadata(file: Path, why: str) -> BagError:
    return BagError(
        f"{file} is no metadata of a bag: {why}; move it out of the folder and the files are read without it"
    )


def check_count(path: Path, files: BagFiles, found: int) -> tuple[list[str], list[str]]:
    """(damage, remarks) where a bag holds another number of messages than its metadata declare."""
    if files.declared is None or files.declared == found:
        return [], []
    text = f"{path / METADATA} declares {counted(files.declared, 'message')}, its files hold {found:,}"
    return ([text], []) if found < files.declared else ([], [f"{text}: all of them are read"])


def is_split_bag(folder: Path, files: Sequence[Path]) -> bool:
    """Whether `files`, those with messages in a folder without metadata, are one bag as recorders name them: FOLDER_0,
    FOLDER_1, ... of one kind."""
    named = re.compile(re.escape(folder.resolve().name) + r"_\d+")
    return bool(files) and len(set(map(kind_of, files))) == 1 and all(named.fullmatch(bare_name(f)) for f in files)


def kind_of(path: Path) -> str | None:
    """One of KINDS by the name of a file, also of one compressed as a whole; else None."""
    name = path.name.lower().removesuffix(PACKED)
    return next((kind for kind in KINDS if name.endswith(kind)), None)


def bare_name(path: Path) -> str:
    """The name of a file of a bag without its suffix, which is one of KINDS, perhaps with PACKED."""
    kind = kind_of(path)
    return path.name[: path.name.lower().rindex(kind)] if kind else path.name


def _in_order(path: Path) -> tuple[int, str]:
    """Recorders number the files of a split bag: name_0, name_1, ..., name_10."""
    number = re.search(r"_(\d+)$", path.name.split(".")[0])
    return int(number[1]) if number else -1, path.name
