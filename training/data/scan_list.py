"""Which scans a folder in SemanticKITTI's layout has: its splits, sequences and files, from names alone."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pvd_core.borders.errors import UserError

SPLITS = {
    "train": ("00", "01", "02", "03", "04", "05", "06", "07", "09", "10"),
    "valid": ("08",),
    "test": ("11", "12", "13", "14", "15", "16", "17", "18", "19", "20", "21"),
}


_FOLDERS = ("sequences", "velodyne", "labels")


@dataclass(frozen=True)
class Scan:
    """The files of one scan."""

    sequence: str
    frame: str
    points_path: Path
    labels_path: Path
    """Of the test split there is no such file."""

    @property
    def name(self) -> str:
        """Sequence and frame, such as 08/000123."""
        return f"{self.sequence}/{self.frame}"


def existing_sequences(root: str | Path) -> list[str]:
    """Names of all sequences in a data set, sorted; folders whose names are no text are none. UserError where there is
    no folder for them, or one that is spelt in capitals."""
    root = Path(root)
    folder = root / "sequences"
    if not root.is_dir():
        raise UserError(f"data set folder {root} does not exist; give the folder that holds 'sequences'")
    if not folder.is_dir():
        _check_spelling(root)
        hint = f"; give its parent {root.parent} instead" if root.name == "sequences" else ""
        raise UserError(
            f"{root} has no folder 'sequences': expected SemanticKITTI's layout, sequences/SS/velodyne{hint}"
        )
    try:
        folders = sorted(path for path in folder.iterdir() if path.name.isprintable() and path.is_dir())
        for path in folders:
            _check_spelling(path)
        return [path.name for path in folders if (path / "velodyne").is_dir()]
    except OSError as error:
        raise UserError(f"{folder} cannot be read: {error.strerror}") from error


def chosen_sequences(root: str | Path, choice: str | Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(the chosen sequences, those of a split that are missing). `choice`: see ScanFolder, as for errors."""
    existing = existing_sequences(root)
    wanted, is_split = _wanted(choice), isinstance(choice, str) and choice in SPLITS
    missing = tuple(name for name in wanted if name not in existing)
    used = tuple(name for name in wanted if name in existing)
    if not used or (missing and not is_split):
        split = f" of split {choice!r}" if is_split else ""
        raise UserError(
            f"{Path(root) / 'sequences'} has no sequence {', '.join(missing)}{split}; "
            f"found {', '.join(existing) or 'none with velodyne'}"
        )
    return used, missing if is_split else ()


def scans_of(root: str | Path, sequence: str) -> list[Scan]:
    """The scans of a sequence by the names of its .bin files, sorted; hidden files are none. UserError for a folder
    that cannot be read."""
    folder = Path(root) / "sequences" / sequence
    try:
        paths = sorted(
            path for path in (folder / "velodyne").iterdir() if path.suffix == ".bin" and path.name[0] != "."
        )
    except OSError as error:
        raise UserError(f"{folder / 'velodyne'} cannot be read: {error.strerror}") from error
    return [Scan(sequence, path.stem, path, folder / "labels" / f"{path.stem}.label") for path in paths]


def evenly_spaced(num_all: int, num_wanted: int | None) -> list[int]:
    """Numbers of `num_wanted` of `num_all` things, spread over them; of all for None."""
    if num_wanted is None or num_wanted >= num_all:
        return list(range(num_all))
    return [i * num_all // num_wanted for i in range(num_wanted)]


def _check_spelling(folder: Path) -> None:
    """UserError where a folder of the layout stands in `folder` in capitals: as such it would not be seen."""
    names = {path.name for path in folder.iterdir()} if os.access(folder, os.R_OK | os.X_OK) else set()
    for name in names:
        if (expected := name.lower()) in _FOLDERS and expected not in names:
            raise UserError(f"{folder} holds {name!r}, expected {expected!r}, in small letters; rename it")


def _wanted(choice: str | Sequence[str]) -> tuple[str, ...]:
    if isinstance(choice, str):
        if choice in SPLITS:
            return SPLITS[choice]
        if not choice.isdigit():
            known = ", ".join(SPLITS)
            raise UserError(f"unknown split {choice!r}: expected {known}, a sequence like 08 or a list like [00, 08]")
        choice = (choice,)
    # YAML drops the leading zero of 00.
    names = tuple(str(name).zfill(2) for name in choice)
    if not names or len(set(names)) < len(names):
        raise UserError(f"sequences {list(names)}: expected at least one, each once")
    return tuple(sorted(names))
