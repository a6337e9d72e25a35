"""The check of a data set before it is used. `check_dataset` is its table of contents."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from pvd_core.borders.wording import counted
from pvd_core.clouds.bin_columns import BinColumns, bin_columns
from pvd_core.runtime.memory import keep_freed_memory
from pvd_core.taxonomy import SEMANTICKITTI, Taxonomy
from training.data.checking.examination import LABELS, Examined, examine
from training.data.checking.findings import Finding, Report, SequenceCounts
from training.data.checking.memory import Memory, Stamp, sizes_of, stamp_of
from training.data.checking.widths import LABEL_TYPES, Widths, recognised
from training.data.scan_list import Scan, chosen_sequences, evenly_spaced, scans_of
from training.data.scan_stream import LEAST_LEARNT

TRAIN, SCORE, LABEL = "train", "score", "label"

Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class Part:
    """Scans that are checked for one use: to train on, to score on, or to label, which needs no label files."""

    use: str
    choice: str | Sequence[str]
    """A split or sequences, as ScanFolder takes them."""
    max_scans: int | None = None
    """Only so many, evenly spaced."""


def check_dataset(
    root: str | Path,
    parts: Sequence[Part],
    columns: str | int | BinColumns = 4,
    progress: Progress | None = None,
    taxonomy: Taxonomy = SEMANTICKITTI,
) -> Report:
    """The Report on the scans of some parts. What was found before in files that have not changed since is not looked
    for again. `progress(done, total)` is called after each scan that is read; labels are read as classes of `taxonomy`.
    UserError where there is no data set or no such sequence.
    """
    root, expected = Path(root), bin_columns(columns)
    report = Report(root, expected.option)
    scans = [(part, scan) for part in parts for scan in _listed(root, part, report)]
    wanted = [(scan, part.use != LABEL) for part, scan in scans]
    stamps = [stamp_of(scan.points_path, scan.labels_path if has_labels else None) for scan, has_labels in wanted]
    widths = recognised([scan for scan, _ in wanted], sizes_of(stamps), expected, taxonomy)
    _judge_widths(root, widths, expected, len(scans), report)
    examined = _examined(root, wanted, stamps, widths, taxonomy, progress)
    learnt = {each.digest: scan for (part, scan), each in zip(scans, examined, strict=True) if part.use == TRAIN}
    learnt.pop("", None)
    for part in parts:
        of_part = [(scan, found) for (each, scan), found in zip(scans, examined, strict=True) if each is part]
        for scan, found in of_part:
            _judge_scan(scan, found, part.use, report)
            if part.use != TRAIN and found.digest in learnt:
                _judge_copy(scan, learnt[found.digest], report)
        _judge_part(root, part, [found for _, found in of_part], report)
    return report


def _listed(root: Path, part: Part, report: Report) -> list[Scan]:
    sequences, missing = chosen_sequences(root, part.choice)
    if missing and part.use == SCORE:  # training and submitting say so themselves
        what = f"sequences {', '.join(missing)} of split {part.choice!r} are not there"
        report.add(Finding("absent sequence", str(root / "sequences"), what, False))
    scans = []
    for sequence in sequences:
        report.sequences.setdefault(sequence, SequenceCounts())
        of_sequence = scans_of(root, sequence)
        if not of_sequence:
            folder = root / "sequences" / sequence / "velodyne"
            what = f"holds no .bin scans; copy them there or leave sequence {sequence} out"
            report.add(Finding("no scans", str(folder), what, True, sequence))
        scans += of_sequence
    return [scans[i] for i in evenly_spaced(len(scans), part.max_scans)]


def _judge_widths(root: Path, widths: Widths, expected: BinColumns, num_scans: int, report: Report) -> None:
    where = str(root / "sequences")
    if widths.columns != expected:
        what = (
            f"the .bin files hold {widths.columns}, as the sizes and numbers of {counted(num_scans, 'scan')} show, "
            f"{expected} are expected: give --columns {widths.columns.option} (in settings: columns), or "
            f"{expected.option}! if you are sure of these"
        )
        report.add(Finding("columns", where, what, True))
        report.columns = widths.columns.option
    if widths.label_type != LABELS:
        found = LABEL_TYPES[widths.label_type]
        what = (
            f"the .label files hold {found} numbers, uint32 are expected; convert each: "
            f"numpy.fromfile(FILE, '{found}').astype('uint32').tofile(FILE)"
        )
        report.add(Finding("label type", where, what, True))


def _examined(
    root: Path,
    wanted: Sequence[tuple[Scan, bool]],
    stamps: Sequence[Stamp],
    widths: Widths,
    taxonomy: Taxonomy,
    progress: Progress | None,
) -> list[Examined]:
    memory = Memory(root, widths, taxonomy)
    found = [memory.recall(scan.name, stamp) for (scan, _), stamp in zip(wanted, stamps, strict=True)]
    missing = [number for number, each in enumerate(found) if each is None]
    new: dict[str, tuple[Stamp, Examined]] = {}
    keep_freed_memory()  # half the time of reading a scan would be page faults
    # NumPy and the file system work without the interpreter lock; more threads than cores hide slow disks.
    executor = ThreadPoolExecutor(min(8, 2 * (os.cpu_count() or 1)), thread_name_prefix="check")
    try:
        futures = {
            executor.submit(examine, *wanted[number], widths.columns, widths.label_type, taxonomy): number
            for number in missing
        }
        for done, future in enumerate(as_completed(futures), start=1):
            number = futures[future]
            found[number] = future.result()
            new[wanted[number][0].name] = stamps[number], future.result()
            if progress is not None:
                progress(done, len(missing))
    finally:
        # After an interrupt too, so that the next check goes on from here.
        executor.shutdown(wait=True, cancel_futures=True)
        memory.keep(new)
    return [each for each in found if each is not None]


def _judge_scan(scan: Scan, found: Examined, use: str, report: Report) -> None:
    counts = report.sequences[scan.sequence]
    counts.num_scans += 1
    counts.num_points += found.num_points
    counts.num_labelled += found.num_labelled
    if not scan.name.isprintable():
        what = "has a name with bytes that are no text; rename it and its label file"
        report.add(Finding("file name", str(scan.points_path), what, True, scan.sequence))
    for kind, is_labels, what in found.problems:
        path = scan.labels_path if is_labels else scan.points_path
        report.add(Finding(kind, str(path), what, True, scan.sequence))
    if found.problems:
        return
    counts.num_empty += found.num_usable == 0
    remarks = []
    if use == TRAIN and found.num_usable < LEAST_LEARNT:
        report.left_out.append(scan.name)
        usable = counted(found.num_usable, "usable point")
        remarks.append(("too few points", f"has {usable} of {found.num_points:,}: it is left out of the training"))
    elif found.num_usable == 0:
        remarks.append(("no usable point", f"has no usable point of {found.num_points:,}: nothing in it is scored"))
    elif use != LABEL and found.num_labelled == 0:
        remarks.append(("unlabelled scan", "none of its points is labelled"))
    if found.num_not_finite:
        points = counted(found.num_not_finite, "point")
        remarks.append(("not finite", f"{points} of {found.num_points:,} not finite; such points get no label"))
    for kind, what in remarks:
        report.add(Finding(kind, str(scan.points_path), what, False, scan.sequence))


def _judge_copy(scan: Scan, learnt: Scan, report: Report) -> None:
    """A scan to score or to label that is also one to train on. Whole sequences in both are said by the training."""
    if scan.name != learnt.name:
        what = f"holds the same points as {learnt.name}, which is trained on: no score of unseen scans; leave one out"
        report.add(Finding("trained on", str(scan.points_path), what, False, scan.sequence))


def _judge_part(root: Path, part: Part, found: Sequence[Examined], report: Report) -> None:
    """What no single scan shows; not where scans are damaged, which says enough."""
    if part.use == LABEL or not found or any(each.problems for each in found) or report.errors:
        return
    chosen = part.choice if isinstance(part.choice, str) else ", ".join(part.choice)
    if not any(each.num_labelled for each in found):
        todo = "there is nothing to learn from" if part.use == TRAIN else "there is nothing to score against"
        what = (
            f"no labelled point in all {counted(len(found), 'scan')} of {chosen}: {todo}; are these the right labels?"
        )
        report.add(Finding("no labelled point", str(root / "sequences"), what, True))
    elif part.use == TRAIN and all(each.num_usable < LEAST_LEARNT for each in found):
        what = f"no scan of {chosen} has enough points to learn from"
        report.add(Finding("no usable scan", str(root / "sequences"), what, True))
