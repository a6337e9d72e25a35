"""Which weights files are looked at, and what pictures call them."""

from pvd_core.borders.errors import UserError

# Of the files in the folder of a training run.
_STEMS_OF_RUNS = ("best", "last")


def named_weights(paths):
    """{name: weights file} of weights files and folders of training runs, which stand for their best weights.

    A network is called by its file, or by the folder of its run, and by as much more of the path as it takes to tell
    all of them apart.
    """
    files = [_best_weights(path) if path.is_dir() else path for path in paths]
    twice = next((file for file in files if files.count(file) > 1), None)
    if twice is not None:
        raise UserError(f"{twice} is given twice: name every network once")
    parts = [file.resolve().with_suffix("").parts for file in files]
    of_runs = [part[:-1] if part[-1] in _STEMS_OF_RUNS else part for part in parts]
    return dict(zip(_shortest_ends(parts if len(set(of_runs)) < len(files) else of_runs), files, strict=True))


def _best_weights(folder):
    file = folder / "best.safetensors"
    if not file.is_file():
        raise UserError(f"{folder} holds no weights: expected {file.name}, as a training run writes it")
    return file


def _shortest_ends(parts):
    """The last parts of each of some distinct paths, joined, as many as it takes to tell all apart."""
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            break
    return names
