"""The check of a whole data set, for whatever use: all sequences, what their clouds look like, the files beside."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pvd_core.borders.errors import UserError
from pvd_core.borders.wording import counted
from pvd_core.clouds.bin_columns import bin_columns
from training.data.checking.appearance import judge_clouds
from training.data.checking.check import LABEL, SCORE, TRAIN, Part, Progress, check_dataset
from training.data.checking.findings import Finding, Report
from training.data.scan_list import SPLITS, existing_sequences, scans_of

_NUMBERS_A_LINE = {"poses.txt": 12, "times.txt": 1}


def check_folder(
    root: str | Path, columns: str | int = 4, sequences: list[str] | None = None, progress: Progress | None = None
) -> Report:
    """The Report on all sequences of a data set, or on some. Those of the training split must be fit for training;
    those of the test split may be without labels. UserError where there is no data set or no such sequence."""
    root, expected, existing = Path(root), bin_columns(columns), existing_sequences(root)
    wanted = [name.zfill(2) for name in sequences] if sequences else existing
    unknown = [name for name in wanted if name not in existing]
    if unknown or not wanted:
        what = f"no sequence {', '.join(unknown)}" if unknown else "no sequence at all"
        found = ", ".join(existing) or "none with velodyne"
        raise UserError(f"{root / 'sequences'} has {what}; found {found}")
    report = check_dataset(root, list(_parts(root, wanted)), expected, progress)
    judge_clouds(report)
    for name in wanted:
        for finding in _beside_the_scans(root, name):
            report.add(finding)
    if not sequences:
        _judge_splits(root, existing, report)
    return report


def _parts(root: Path, wanted: list[str]) -> Iterator[Part]:
    of_splits = {split: [name for name in wanted if name in names] for split, names in SPLITS.items()}
    others = [name for name in wanted if not any(name in names for names in SPLITS.values())]
    unlabelled = [name for name in of_splits["test"] if not any((root / "sequences" / name).glob("labels/*.label"))]
    labelled = [name for name in of_splits["test"] if name not in unlabelled]
    for use, names in (
        (TRAIN, of_splits["train"]),
        (SCORE, of_splits["valid"]),
        (SCORE, [*labelled, *others]),
        (LABEL, unlabelled),
    ):
        if names:
            yield Part(use, names)


def _judge_splits(root: Path, existing: list[str], report: Report) -> None:
    for split in ("train", "valid"):
        missing = [name for name in SPLITS[split] if name not in existing]
        if missing:
            what = f"sequences {', '.join(missing)} of split {split!r} are not there"
            report.add(Finding("absent sequence", str(root / "sequences"), what, False))


def _beside_the_scans(root: Path, sequence: str) -> Iterator[Finding]:
    """Remarks, for neither training nor labelling reads these files."""
    folder, scans = root / "sequences" / sequence, scans_of(root, sequence)
    frames = {scan.frame for scan in scans}
    stray = sorted(path for path in folder.glob("labels/*.label") if path.stem not in frames)
    if stray:
        what = f"{counted(len(stray), 'label file')} without a scan, the first is {stray[0].name}"
        yield Finding("stray labels", str(folder / "labels"), what, False, sequence)
    for name, per_line in _NUMBERS_A_LINE.items():
        path = folder / name
        if path.exists() and (what := _wrong_numbers(path, per_line, len(scans))):
            yield Finding(name, str(path), f"{what}; nothing here reads it but `--bag`", False, sequence)


def _wrong_numbers(path: Path, per_line: int, num_scans: int) -> str:
    """What is wrong with a file of so many numbers a line, at least one line a scan; "" for nothing."""
    try:
        if not path.is_file():  # a pipe would be waited for without end
            return "is no file"
        lines = path.read_text(encoding="utf-8").split("\n")
        table = [[float(number) for number in line.split()] for line in lines if line.strip()]
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except ValueError as error:
        return f"holds what is no number ({error})"
    odd = next((number for number, row in enumerate(table, start=1) if len(row) != per_line), None)
    if odd is not None:
        return f"line {odd} holds {counted(len(table[odd - 1]), 'number')}, expected {per_line}"
    if len(table) < num_scans:
        return f"holds {counted(len(table), 'line')} for {counted(num_scans, 'scan')}"
    if not np.isfinite(np.array(table)).all():
        return "holds numbers that are not finite"
    if per_line == 1 and (np.diff(np.array(table)[:, 0]) < 0).any():
        return "holds times that go back"
    return ""
