"""The weights files to show, the names of the networks in pictures, and their classes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pvd_core.borders.errors import UserError
from pvd_core.taxonomy import Taxonomy
from pvd_core.weights import read_facts, taxonomy_of, weights_file

# The weights files that a training run writes.
_STEMS_OF_RUNS = ("best", "last")


def named_weights(paths: Sequence[Path]) -> dict[str, Path]:
    """{name of the network: weights file}. `paths`: weights files, and folders of training runs, of which the best
    weights are taken. UserError for a folder without weights and for a file given twice.

    The name is that of the file without suffix, or of the run's folder, with as many folders before it as are needed to
    make all names different.
    """
    files = [weights_file(path) for path in paths]
    twice = next((file for file in files if files.count(file) > 1), None)
    if twice is not None:
        raise UserError(f"{twice} is given twice: name every network once")
    parts = [file.resolve().with_suffix("").parts for file in files]
    of_runs = [part[:-1] if part[-1] in _STEMS_OF_RUNS else part for part in parts]
    return dict(zip(_shortest_ends(parts if len(set(of_runs)) < len(files) else of_runs), files, strict=True))


def common_taxonomy(files: Mapping[str, Path]) -> Taxonomy:
    """The classes of all networks in `files`, {name: weights file}, at least one. UserError where they differ."""
    found = {name: taxonomy_of(read_facts(file)) for name, file in files.items()}
    first, taxonomy = next(iter(found.items()))
    for name, other in found.items():
        if other != taxonomy:
            raise UserError(
                f"network {name} has taxonomy {other.name}, {first} has {taxonomy.name}: only networks of the same "
                "classes can be compared"
            )
    return taxonomy


def _shortest_ends(parts: Sequence[tuple[str, ...]]) -> list[str]:
    """The last parts of each path, joined; as few as make all results different. All of `parts` are different."""
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            break
    return names
