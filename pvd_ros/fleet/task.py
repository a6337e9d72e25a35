"""One bag of many: labelled as `label_bag` does, in whatever process or machine, with a result that can be sent."""

from __future__ import annotations

import dataclasses
import functools
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pvd_core.borders.errors import UserError
from pvd_core.borders.files import sha256_of
from pvd_ros.bags import BagError, LabelOptions, LabelReport, NoCloudsError, label_bag
from pvd_ros.fleet.growing import Growing
from pvd_ros.fleet.records import read_record, write_record
from pvd_ros.poses import summary

if TYPE_CHECKING:  # its module imports torch
    from pvd_core.committee import AnySegmenter

LABELLED, SKIPPED, FAILED = "labelled", "skipped", "failed"


@dataclass(frozen=True)
class LabelSettings:
    """How all bags are labelled. weights: a file, or several that vote. weights_sha256: theirs, by `digest_of`; other
    machines may have other content under the same names. threads: of the network on the CPU. topic, options: as
    `label_bag` takes them."""

    weights: tuple[Path, ...]
    weights_sha256: str
    options: LabelOptions = field(default_factory=LabelOptions)
    topic: str | None = None
    device: str = "auto"
    precision: str = "fp32"
    threads: int = 1


@dataclass(frozen=True)
class BagTask:
    """A bag to label. It pickles. name: as in FoundBag. source, out: the bag and the one to write. record: the file for
    its result."""

    name: str
    source: Path
    out: Path
    record: Path
    settings: LabelSettings


@dataclass(frozen=True)
class BagResult:
    """What came of a bag.

    status: LABELLED, SKIPPED (it holds no clouds) or FAILED (it is not there; `reason` says why). clouds: those found;
    labelled: those of them in the new bag; kept: whether an earlier run wrote all of it. rejected: {reason: clouds}.
    lines: what is to be said besides, rejected clouds by their number. num_spoilt: judged clouds whose labels are
    worthless. classes: as `pvd_ros.fleet.classes` takes them.
    """

    name: str
    source: str
    status: str
    reason: str = ""
    clouds: int = 0
    labelled: int = 0
    kept: bool = False
    rejected: dict[str, int] = field(default_factory=dict)
    damage: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    num_spoilt: int = 0
    topic: str = ""
    labelled_topic: str = ""
    seconds: float = 0.0
    weights_sha256: str = ""
    taxonomy: str = ""
    classes: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether nothing of the bag is missing in what was written."""
        return self.status != FAILED and not self.rejected and not self.damage


class Event(NamedTuple):
    """News of a task. kind: "started"; "clouds", of which `number` are labelled; "lost", its process ended and it is
    tried again; "done" with its `result`."""

    task: BagTask
    kind: str
    number: int = 0
    result: BagResult | None = None


def label_task(task: BagTask, progress: Callable[[int, int], object] | None = None) -> BagResult:
    """Labels the bag, writes its record, and says what came of it; a bag that cannot be labelled is a result too.
    progress(done, total) is called after each cloud."""
    started = time.monotonic()
    growing = Growing(task.source)

    def after_cloud(done: int, total: int) -> None:
        growing.check()
        if progress:
            progress(done, total)

    try:
        chosen = task.settings
        segmenter = _segmenter(chosen.weights, chosen.weights_sha256, chosen.device, chosen.precision, chosen.threads)
        report = label_bag(task.source, task.out, segmenter, chosen.topic, chosen.options, after_cloud)
        result = _kept(task, report) if report.was_complete else None
        result = result or _result_of(task, report, time.monotonic() - started)
        write_record(task.record, dataclasses.asdict(result))
        return result
    except NoCloudsError as error:
        return BagResult(task.name, str(task.source), SKIPPED, str(error))
    except BagError as error:
        return failure(task, growing.explained(str(error)))
    except UserError as error:
        return failure(task, str(error))
    except Exception as error:
        # One bag must not end the labelling of all others.
        traceback.print_exc(file=sys.stderr)
        return failure(task, f"internal error, {type(error).__name__}: {error}; please report it with this bag")


def failure(task: BagTask, reason: str) -> BagResult:
    """The result of a bag that was not labelled."""
    return BagResult(task.name, str(task.source), FAILED, " ".join(reason.split()))


@functools.lru_cache(maxsize=1)
def _segmenter(weights: tuple[Path, ...], sha256: str, device: str, precision: str, threads: int) -> AnySegmenter:
    """Loaded once a process."""
    import torch

    from pvd_core.committee import segmenter_of

    torch.set_num_threads(threads)
    for path, expected in zip(weights, sha256.split(","), strict=True):
        if (found := digest_of([path])) != expected:
            raise UserError(
                f"{path} has other content here than where the command was started (SHA-256 {found[:12]}, expected "
                f"{expected[:12]}); give a path that all machines share, and do not change the file meanwhile"
            )
    return segmenter_of(weights, device, precision)


def digest_of(weights: Sequence[Path]) -> str:
    """The SHA-256 of weights files, joined by commas. UserError where one cannot be read."""
    try:
        return ",".join(map(sha256_of, weights))
    except OSError as error:
        raise UserError(f"{error.filename} cannot be read: {error.strerror or error}") from error


def _result_of(task: BagTask, report: LabelReport, seconds: float) -> BagResult:
    taxonomy, classes = report.taxonomy, report.classes
    return BagResult(
        name=task.name,
        source=str(task.source),
        status=LABELLED,
        clouds=report.clouds,
        labelled=report.labelled,
        kept=report.was_complete,
        rejected=dict(sorted(report.rejected.items())),
        damage=report.damage,
        lines=[*report.rejected_lines(), *report.remarks, *([summary(report.history)] if report.history else [])],
        num_spoilt=report.num_spoilt,
        topic=report.topic,
        labelled_topic=report.labelled_topic,
        seconds=round(seconds, 3),
        weights_sha256=task.settings.weights_sha256,
        taxonomy=taxonomy.name,
        classes=[
            {
                "class_id": class_id,
                "class": name,
                "clouds": int(classes.clouds[class_id]),
                "points": int(classes.points[class_id]),
                "confidence_sum": float(classes.confidence[class_id]),
                "low_confidence_points": int(classes.unsure[class_id]),
            }
            for class_id, name in enumerate(taxonomy.names)
        ],
    )


def _kept(task: BagTask, report: LabelReport) -> BagResult | None:
    """What the run that wrote the bag recorded, which knows more than the bag itself; None if that is not at hand."""
    now = _result_of(task, report, 0.0)
    record = read_record(task.record)
    try:
        earlier = BagResult(**record) if record else None
    except TypeError:  # of another version
        return None
    if earlier is None or (earlier.labelled, earlier.classes) != (now.labelled, now.classes):
        return None
    return dataclasses.replace(earlier, source=now.source, kept=True, weights_sha256=now.weights_sha256)
