"""Writes simulated drives as a SemanticKITTI data set: velodyne, labels, poses, calib, times (spec 2.1)."""

import contextlib
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pvd_core.borders.errors import UserError, unknown_name
from training.simulate.folder import check_free_space, close_folder, is_finished, open_folder
from training.simulate.parallel import Chunk, split, written_by_processes
from training.simulate.sensor.mounting import check_mounting
from training.simulate.sensor.ray_caster import import_ray_caster
from training.simulate.sensor.sensors import sensor_named
from training.simulate.sequence import SequenceWriter, sequence_seed
from training.simulate.street.world_kinds import world_kind_named

__all__ = [
    "TRAIN_SEQUENCES",
    "VALID_SEQUENCES",
    "is_finished",
    "sequence_seed",
    "write_dataset",
    "write_sequences",
]

TRAIN_SEQUENCES = ("00", "01", "02", "03", "04", "05", "06", "07", "09", "10")
VALID_SEQUENCES = ("08",)
WORLD_VERSION = 2
_MOST_WORKERS = 256
_INTERVALS_S = (0.01, 10.0)  # shortest, longest
_FACTS = ("made_by", "world_version", "seed", "sensor", "scan_interval_s", "sequences")
_DEFAULT_SETTINGS = {"height_m": None, "tilt_deg": 0.0, "jitter": False, "is_rolling": False, "world": "mixed"}


def write_dataset(
    out_dir: str | Path,
    train_sequences: Iterable[str] = TRAIN_SEQUENCES,
    valid_sequences: Iterable[str] = VALID_SEQUENCES,
    num_scans: int = 100,
    seed: int = 0,
    progress: Callable[[int, int, Path], None] | None = None,
    *,
    num_valid_scans: int | None = None,
    scan_interval_s: float = 0.1,
    sensor: str = "hdl64e",
    num_workers: int = 1,
    **settings: Any,
) -> Path:
    """Simulates one drive for each sequence, each on a street of its own, into `out_dir/sequences/SS`.

    An interrupted run continues when called again with the same arguments, and the finished files have the same bytes
    as those of an uninterrupted run. A folder with any other content is refused with UserError, as are unknown names
    and values out of range, and any work without embreex.

    num_scans: of each training sequence; num_valid_scans: of each validation sequence, None for the same number.
    progress: called as `progress(done, total, path)` after each scan. num_workers: processes that share the work; the
    bytes do not depend on their number. settings: `height_m`, `tilt_deg`, `jitter`, `is_rolling` and `world` of
    `Drive`. Returns the path of the data set.
    """
    lengths = _sequence_lengths(train_sequences, valid_sequences, num_scans, num_valid_scans)
    return write_sequences(out_dir, lengths, seed, scan_interval_s, sensor, progress, num_workers, **settings)


def write_sequences(
    out_dir: str | Path,
    lengths: Mapping[str, int],
    seed: int,
    scan_interval_s: float,
    sensor: str,
    progress: Callable[[int, int, Path], None] | None = None,
    num_workers: int = 1,
    **settings: Any,
) -> Path:
    """As `write_dataset`, for any sequences. lengths: {name of two digits: number of scans}."""
    out_dir, lengths = Path(out_dir), dict(sorted(lengths.items()))
    facts = {
        "made_by": "pvd simulate",
        "world_version": WORLD_VERSION,
        "seed": int(seed),
        "sensor": sensor,
        "scan_interval_s": float(scan_interval_s),
        "sequences": lengths,
        **_DEFAULT_SETTINGS,
        **settings,
    }
    _check_settings(facts, num_workers)
    import_ray_caster()
    facts["intensity_max"] = sensor_named(sensor).intensity_max
    open_folder(out_dir, facts)
    writer = SequenceWriter(out_dir, facts)
    missing = {name: writer.prepare(name) for name in lengths}
    total = sum(lengths.values())
    num_missing = sum(len(indices) for indices in missing.values())
    check_free_space(out_dir, num_missing, sensor_named(sensor))
    done = total - num_missing
    if progress is not None and done:
        progress(done, total, out_dir)
    with contextlib.closing(_written(writer, split(missing, num_workers), num_workers)) as paths:
        for path in paths:
            done += 1
            if progress is not None:
                progress(done, total, path)
    close_folder(out_dir, facts)
    return out_dir


def _written(writer: SequenceWriter, chunks: Sequence[Chunk], num_workers: int) -> Generator[Path, None, None]:
    """Yields the path of each scan after it is written."""
    if num_workers > 1 and len(chunks) > 1:
        yield from written_by_processes(writer, chunks, min(num_workers, len(chunks)))
    else:
        for chunk in chunks:
            yield from writer(chunk)


def _sequence_lengths(
    train_sequences: Iterable[str], valid_sequences: Iterable[str], num_scans: int, num_valid_scans: int | None
) -> dict[str, int]:
    """{sequence: number of scans}; UserError for an unknown or repeated sequence, or if there is none."""
    lengths: dict[str, int] = {}
    for role, names, known, count in (
        ("train", train_sequences, TRAIN_SEQUENCES, num_scans),
        ("validation", valid_sequences, VALID_SEQUENCES, num_scans if num_valid_scans is None else num_valid_scans),
    ):
        for name in names:
            if name not in known:
                raise unknown_name(f"{role} sequence", name, known)
            if name in lengths:
                raise UserError(f"sequence {name} is named twice; name each once")
            lengths[name] = int(count)
    if not lengths:
        raise UserError("no sequences to simulate; name at least one")
    return lengths


def _check_settings(facts: dict[str, Any], num_workers: int) -> None:
    """UserError for an unknown setting or a value out of range."""
    unknown = sorted(set(facts) - {*_DEFAULT_SETTINGS, *_FACTS})
    if unknown:
        raise UserError(f"unknown setting {unknown[0]!r}; settings are {', '.join(_DEFAULT_SETTINGS)}")
    for name, count in facts["sequences"].items():
        if not 1 <= count <= 999_999:
            raise UserError(f"sequence {name} would have {count} scans; a sequence has 1 to 999999")
    check_interval("scan_interval_s", facts["scan_interval_s"])
    sensor_named(facts["sensor"])
    world_kind_named(facts["world"])
    check_mounting(facts["height_m"], facts["tilt_deg"])
    if facts["seed"] < 0:
        raise UserError(f"the seed is {facts['seed']}; expected 0 or more")
    if not 1 <= num_workers <= _MOST_WORKERS:
        raise UserError(f"{num_workers} worker processes; expected 1 to {_MOST_WORKERS}")


def check_interval(name: str, interval_s: float) -> None:
    """UserError unless the interval is 0.01 to 10 seconds. `name` is that of the setting, for the message."""
    shortest, longest = _INTERVALS_S
    if not shortest <= interval_s <= longest:
        raise UserError(
            f"{name} is {interval_s:g}; expected {shortest:g} to {longest:g} seconds, 0.1 is a sensor at 10 Hz"
        )
