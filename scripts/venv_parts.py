"""What a .venv consists of, what of it has gone since, and how an old one is kept until a new one stands."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

_SITE_PACKAGES = "lib/python*/site-packages"
# Of the files that a package lists, those that it cannot be imported without.
_IMPORTED = (".py", ".so", ".pth")


def top_level_parts(venv: Path) -> "list[str]":
    """Paths in `venv` of the packages and single modules that are installed. Without their metadata, which change with
    the versions."""
    return sorted(
        str(path.relative_to(venv))
        for path in venv.glob(f"{_SITE_PACKAGES}/*")
        if (path.is_dir() or path.suffix in _IMPORTED)
        and path.suffix != ".dist-info"
        and path.name != "__pycache__"
        and not path.name.startswith("~")
    )


def gone_files(venv: Path, but: Iterable[str] = ()) -> "list[str]":
    """Paths in `venv` of modules that pip's records list and that are not there, without those in `but`."""
    gone: list[str] = []
    for site in venv.glob(_SITE_PACKAGES):
        for folder, names in _recorded(site).items():
            try:
                there = set(os.listdir(f"{site}/{folder}"))
            except OSError:
                there = set()
            gone += [os.path.relpath(f"{site}/{folder}/{name}", venv) for name in names - there]
    return sorted(set(gone) - set(but))


def _recorded(site: Path) -> "dict[str, set[str]]":
    """{folder below site-packages: names of its modules} by the records of pip. Folders, not files: some ten thousand
    modules have to be looked for at every start of `make`."""
    listed: dict[str, set[str]] = {}
    for record in site.glob("*.dist-info/RECORD"):
        for line in record.read_text(encoding="utf-8", errors="replace").splitlines():
            path = line.split(",", 1)[0]
            if path.endswith(_IMPORTED):
                folder, _, name = path.rpartition("/")
                listed.setdefault(folder, set()).add(name)
    return listed


def size_gb(folder: Path) -> float:
    """What the files below a folder take; 0 where it is not there."""
    total = 0
    for top, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # gone meanwhile
                total += os.lstat(os.path.join(top, name)).st_size
    return total / 1e9


@contextlib.contextmanager
def restored_on_failure(folder: Path, aside: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Where the block, or an earlier one that was killed, has moved `folder` to `aside`: removed once the block comes
    to its end, moved back where that fails."""
    try:
        yield
    except BaseException:
        if aside.exists():
            shutil.rmtree(folder, ignore_errors=True)
            aside.rename(folder)
            say(f"the {folder.name} of before is back in its place")
        raise
    shutil.rmtree(aside, ignore_errors=True)
