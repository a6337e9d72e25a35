"""Fingerprints of labelled scans: a digest of their bytes, and four numbers that hardly depend on rounding.

The simulator gives the same bytes again on the same machine. Another processor, NumPy or ray caster may round a range
differently. One ray that misses for that reason shifts the random numbers of all later rays, so every digest differs
although the scan is as good. Four numbers tell such a scan from one of another world: number of points, mean range,
mean intensity, mean class id. Other random numbers changed them by at most 0.14 % (three scans). Of 192 pairs of
successive scans, 18 m apart in one street, every pair differed by more than `TOLERANCE` in at least one number.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pvd_core.borders.errors import UserError
from pvd_core.borders.files import written_atomically
from training.data.dataset import ScanFolder

TOLERANCE = 0.005
"""Largest relative difference of a number."""

_QUANTITIES = ("points", "mean range", "mean intensity", "mean class id")


@dataclass(frozen=True)
class Sum:
    """The fingerprint of one scan."""

    digest: str
    """First 16 hexadecimal digits of the SHA-256 of the .bin file's bytes followed by the .label file's."""
    numbers: tuple[float, ...]
    """points, mean range (m), mean intensity, mean class id."""

    def difference(self, other: "Sum") -> str | None:
        """The first number out of tolerance, as text; None where all agree. `self` is what is expected of `other`."""
        for quantity, ours, theirs in zip(_QUANTITIES, self.numbers, other.numbers, strict=True):
            if abs(ours - theirs) > TOLERANCE * max(abs(ours), abs(theirs)):
                return f"{quantity} {theirs:g}, expected {ours:g}"
        return None


@dataclass(frozen=True)
class Verdict:
    """Of scans that are those of a benchmark."""

    num_scans: int
    first_inexact: str | None
    """Name of the first scan whose bytes differ although its numbers agree; None where all bytes are the same."""


def folder_sums(
    folder: str | Path, sequences: Iterable[str], progress: Callable[[int, int], object] | None = None
) -> dict[str, Sum]:
    """{"SS/NNNNNN": Sum} of all scans of some sequences; `progress(done, total)` is called after each scan."""
    scans = ScanFolder(folder, list(sequences))
    found = {}
    for index, scan in enumerate(scans.scans):
        found[scan.name] = sum_of(scans, index)
        if progress is not None:
            progress(index + 1, len(scans))
    return found


def sum_of(scans: ScanFolder, index: int) -> Sum:
    """The fingerprint of scan `index`."""
    scan = scans.scans[index]
    points, class_ids = scans.labelled_points(index)
    digest = hashlib.sha256(scan.points_path.read_bytes() + scan.labels_path.read_bytes()).hexdigest()[:16]
    points = points.astype(np.float64)
    ranges = np.linalg.norm(points[:, :3], axis=1)
    means = [float(np.mean(values)) if len(points) else 0.0 for values in (ranges, points[:, 3], class_ids)]
    return Sum(digest, (float(len(points)), *(round(mean, 5) for mean in means)))


def verify(
    folder: str | Path,
    sequences: Iterable[str],
    expected: Mapping[str, Sum],
    title: str,
    must_be_identical: bool,
    progress: Callable[[int, int], object] | None = None,
) -> Verdict:
    """Compares the scans of `sequences` in `folder` with `expected` {name: Sum}; UserError with the first difference.

    `title` names the benchmark in messages. `must_be_identical`: differing bytes are an error even where the numbers
    agree. `progress(done, total)` is called after each scan.
    """
    scans = ScanFolder(folder, list(sequences))
    names = [scan.name for scan in scans.scans]
    missing, more = sorted(set(expected) - set(names)), sorted(set(names) - set(expected))
    if missing or more:
        problem = f"scan {missing[0]} is missing" if missing else f"scan {more[0]} is none of its scans"
        raise UserError(f"{folder} is not benchmark {title}: {problem} ({len(names)} scans, expected {len(expected)})")
    first_inexact = None
    for index, name in enumerate(names):
        found = sum_of(scans, index)
        if found.digest != expected[name].digest:
            difference = expected[name].difference(found)
            if must_be_identical and difference is None:
                difference = f"digest {found.digest}, expected {expected[name].digest}"
            if difference is not None:
                raise UserError(
                    f"{folder} is not benchmark {title}: the first scan that differs is {name} ({difference}); "
                    "make or copy it again, or use the release of the package that it was made with"
                )
            first_inexact = first_inexact or name
        if progress is not None:
            progress(index + 1, len(names))
    return Verdict(len(names), first_inexact)


def read_sums(path: str | Path) -> tuple[int, dict[str, Sum]]:
    """(version of the benchmark, {"SS/NNNNNN": Sum}) of a .sums file; UserError for one that cannot be read."""
    try:
        first, *lines = Path(path).read_text(encoding="ascii").splitlines()
        version = int(first.removeprefix("# version "))
        rows = [line.split() for line in lines if not line.startswith("#")]
        return version, {name: Sum(digest, tuple(map(float, numbers))) for name, digest, *numbers in rows}
    except OSError as error:
        raise UserError(f"the benchmark's fingerprints {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}); restore it or write it anew with --refresh") from error


def write_sums(path: str | Path, version: int, sums: Mapping[str, Sum]) -> None:
    """Writes a .sums file."""
    lines = [f"# version {version}", "# scan  digest  points  mean range (m)  mean intensity  mean class id"]
    for name, entry in sums.items():
        count, *means = entry.numbers
        lines.append(f"{name} {entry.digest} {count:.0f} {' '.join(f'{mean:.5f}' for mean in means)}")
    with written_atomically(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="ascii")
