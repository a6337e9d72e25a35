"""Fixed, versioned benchmarks: which scans they have, how these are simulated and verified.

Benchmark NAME is described in config/benchmarks/NAME.yaml; NAME.sums beside it has the fingerprints of its scans.
"""

import difflib
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pvd_core.borders.errors import UserError
from pvd_core.borders.settings import filled, read_yaml
from pvd_core.borders.shipped_config import config_folders, config_path
from pvd_core.borders.wording import shown
from training.data.benchmark_sums import Sum, Verdict, folder_sums, read_sums, verify, write_sums

_SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class World:
    """The simulator's settings; `num_scans` {split: scans of each of its sequences}."""

    seed: int
    sensor: str
    scan_interval_s: float
    num_scans: dict[str, int]


@dataclass(frozen=True)
class Benchmark:
    """What a YAML file says about a benchmark."""

    name: str
    version: int
    splits: dict[str, tuple[str, ...]]
    """{split: its sequences}."""
    world: World | None
    """None for a benchmark of recorded scans, which cannot be simulated."""
    sums_path: Path

    @property
    def title(self) -> str:
        """Name and version."""
        return f"{self.name} {self.version}"

    def sequences(self, splits: Sequence[str] | None = None) -> tuple[str, ...]:
        """Sequences of some splits (default: all), sorted; an unknown split is a UserError."""
        for split in splits or ():
            if split not in self.splits:
                raise UserError(f"benchmark {self.name} has no split {split!r}; it has {', '.join(self.splits)}")
        return tuple(sorted(name for split in splits or self.splits for name in self.splits[split]))


def benchmark_names() -> list[str]:
    """Names of the benchmarks that come with the package, sorted."""
    return sorted({path.stem for folder in config_folders() for path in folder.glob("benchmarks/*.yaml")})


def benchmark_named(name: str) -> Benchmark:
    """The Benchmark of a name, or of a YAML file; an unknown name is a UserError with the closest match."""
    if name.endswith(".yaml"):
        return read_benchmark(config_path(name))
    for folder in config_folders():
        if (folder / "benchmarks" / f"{name}.yaml").is_file():
            return read_benchmark(folder / "benchmarks" / f"{name}.yaml")
    known = benchmark_names()
    close = difflib.get_close_matches(name, known, 1)
    hint = f"; did you mean {close[0]}?" if close else ""
    if not known:
        looked_in = ", ".join(str(folder / "benchmarks") for folder in config_folders())
        raise UserError(f"no benchmarks in {looked_in}; reinstall the package")
    raise UserError(f"unknown benchmark {name!r}; known are {', '.join(known)}{hint}")


def read_benchmark(path: Path) -> Benchmark:
    """The Benchmark of a YAML file; UserError says what is wrong in it."""
    try:
        file = filled(_File, read_yaml(path))
        splits = {
            name: filled(_Split, _section(name, values), f"splits.{name}.") for name, values in file.splits.items()
        }
        return _benchmark(file, splits, Path(path).with_suffix(".sums"))
    except UserError as error:
        raise UserError(f"{path} is no benchmark: {error}; see config/benchmarks") from error


def _section(name: object, values: object) -> dict[str, Any]:
    if name not in _SPLITS:
        raise UserError(f"unknown split {shown(name)}; expected some of {', '.join(_SPLITS)}")
    if not isinstance(values, dict):
        raise UserError(f"split {name} is {shown(values)}; expected a section with 'sequences'")
    return values


def _benchmark(file: "_File", splits: Mapping[str, "_Split"], sums_path: Path) -> Benchmark:
    if file.made_by not in ("simulator", "files"):
        raise UserError(f"made_by is {shown(file.made_by)}; expected simulator or files")
    sequences = [name for split in splits.values() for name in split.sequences]
    if len(set(sequences)) < len(sequences):
        raise UserError(f"a sequence is in two splits: {shown(sequences)}; expected each once")
    world = None
    if file.made_by == "simulator":
        numbers = (file.seed, file.sensor, file.scan_interval_s, *(split.scans for split in splits.values()))
        if None in numbers:
            raise UserError("made_by is simulator; expected seed, sensor, scan_interval_s, and scans of each split")
        num_scans = {name: cast(int, split.scans) for name, split in splits.items()}
        world = World(cast(int, file.seed), cast(str, file.sensor), cast(float, file.scan_interval_s), num_scans)
    names = {name: split.sequences for name, split in splits.items()}
    return Benchmark(file.name, file.version, names, world, sums_path)


@dataclass(frozen=True)
class _File:
    """The YAML file. The last three are for simulated benchmarks."""

    name: str
    version: int
    made_by: str
    splits: dict
    seed: int | None = None
    sensor: str | None = None
    scan_interval_s: float | None = None


@dataclass(frozen=True)
class _Split:
    sequences: tuple[str, ...]
    scans: int | None = None


def make(
    benchmark: Benchmark,
    folder: str | Path,
    splits: Sequence[str] | None = None,
    progress: Callable[[int, int], object] | None = None,
    num_workers: int = 1,
) -> None:
    """Simulates what is missing of some splits (default: all) in `folder`; a complete one is left as it is.

    `progress(done, total)` is called after each scan; `num_workers` processes share the work. UserError for a benchmark
    of recorded scans.
    """
    from training.simulate.dataset import is_finished, write_sequences

    world = benchmark.world
    if world is None:
        raise UserError(
            f"benchmark {benchmark.name} is recorded data and cannot be made; name the folder that holds it"
        )
    if is_finished(folder):
        return
    counts = {name: world.num_scans[split] for split in splits or benchmark.splits for name in benchmark.splits[split]}
    tell = None if progress is None else functools.partial(_without_path, progress)
    write_sequences(folder, counts, world.seed, world.scan_interval_s, world.sensor, tell, num_workers)


def _without_path(progress: Callable[[int, int], object], done: int, total: int, _path: Path) -> None:
    progress(done, total)


def check(
    benchmark: Benchmark,
    folder: str | Path,
    splits: Sequence[str] | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Verdict:
    """Verifies the scans of some splits (default: all) in `folder`; UserError with the first scan that is not the
    benchmark's. Recorded scans must match byte for byte, simulated ones within a tolerance.

    `progress(done, total)` is called after each scan.
    """
    sequences, sums = benchmark.sequences(splits), _recorded(benchmark)
    expected = {name: entry for name, entry in sums.items() if name.split("/")[0] in sequences}
    unknown = sorted(set(sequences) - {name.split("/")[0] for name in expected})
    if unknown:
        raise UserError(
            f"{benchmark.sums_path} has no fingerprints of sequence {unknown[0]} in version {benchmark.version}; "
            f"`pvd dataset {benchmark.name} FOLDER --refresh` records them"
        )
    return verify(
        folder, sequences, expected, benchmark.title, must_be_identical=not benchmark.world, progress=progress
    )


def refresh(
    benchmark: Benchmark,
    folder: str | Path,
    splits: Sequence[str] | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> None:
    """Records the fingerprints of the scans in `folder` for some splits (default: all); other splits keep theirs.

    UserError where the same version has other fingerprints already: a benchmark that changes needs a new version.
    `progress(done, total)` is called after each scan.
    """
    before, sequences = _recorded(benchmark), benchmark.sequences(splits)
    found = folder_sums(folder, sequences, progress)
    recorded = {name: entry for name, entry in before.items() if name.split("/")[0] in sequences}
    if recorded and recorded != found:
        raise UserError(
            f"version {benchmark.version} of benchmark {benchmark.name} has other fingerprints; raise `version` in "
            f"{benchmark.sums_path.with_suffix('.yaml')}, then repeat"
        )
    write_sums(benchmark.sums_path, benchmark.version, dict(sorted({**before, **found}.items())))


def _recorded(benchmark: Benchmark) -> dict[str, Sum]:
    """{"SS/NNNNNN": Sum} of the benchmark's present version, {} if there are none yet."""
    if not benchmark.sums_path.is_file():
        return {}
    version, sums = read_sums(benchmark.sums_path)
    return sums if version == benchmark.version else {}
