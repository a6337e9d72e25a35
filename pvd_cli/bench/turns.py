"""Measures several jobs in turns, so that disturbances of the machine affect all of them alike."""

import itertools
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pvd_cli.bench.busy import busy_processes
from pvd_cli.bench.plan import Job, Plan, Progress, Row, reason_against
from pvd_cli.bench.process import CannotMeasureError, MeasuringProcess
from pvd_core.borders.errors import UserError
from pvd_core.weights import save_weights

Task = tuple[dict[str, Any], Sequence[np.ndarray]]  # what names it in its rows; its clouds


@dataclass
class Outcome:
    """What was measured for a job. A sample is {what: milliseconds} of one repeat; not every repeat measures all."""

    job: Job
    facts: dict[str, Any]
    samples: list[dict[str, float]] = field(default_factory=list)
    labels: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint8))  # of its clouds, if it labels them

    def values(self, what: str) -> np.ndarray:
        """Milliseconds of all samples that have `what`."""
        return np.array([sample[what] for sample in self.samples if what in sample])

    def median(self, what: str) -> float:
        return float(np.median(self.values(what)))

    def percentile(self, what: str, percent: float) -> float:
        return float(np.percentile(self.values(what), percent))


@dataclass
class Measured:
    outcomes: list[Outcome]
    skipped: list[Row]  # jobs that do not run here, with their reason
    ended_by: BaseException | None = None
    """The KeyboardInterrupt or SystemExit that ended the measuring early; outcomes have the samples taken by then."""

    def table(self, rows: list[Row]) -> dict[str, Any]:
        """The result of a table's function: {"rows", "skipped", "ended_by"}."""
        return {"rows": rows, "skipped": self.skipped, "ended_by": self.ended_by}


def by_scan(plan: Plan) -> list[Task]:
    return [({"scan": name}, [points]) for name, points in plan.scans.items()]


def measure(
    kind: str, plan: Plan, tasks: Sequence[Task], progress: Progress | None = None, in_turns: bool = True
) -> Measured:
    """Makes measurement `kind` of every task with every network and engine of the plan; outcomes in this order. The
    engines for a network and a task take turns, as many at once as memory allows; or, with `in_turns` False, an engine
    measures all tasks, then the next one does. UserError when nothing could be measured; an interrupt before the first
    sample is raised again."""
    outcomes: list[Outcome] = []
    skipped: list[Row] = []
    ended_by: BaseException | None = None
    with tempfile.TemporaryDirectory(prefix="pvd_bench_") as folder:
        try:
            _measure(_groups(kind, plan, tasks, in_turns, Path(folder)), progress, outcomes, skipped)
        except (KeyboardInterrupt, SystemExit) as error:
            ended_by = error
        outcomes = [outcome for outcome in outcomes if outcome.samples]
        for outcome in outcomes:
            if Path(outcome.job.labels_file).exists():
                outcome.labels = np.load(outcome.job.labels_file)
    if not outcomes:
        raise ended_by or UserError(f"nothing could be timed: {'; '.join(entry['reason'] for entry in skipped)}")
    return Measured(outcomes, skipped, ended_by)


def _groups(kind: str, plan: Plan, tasks: Sequence[Task], in_turns: bool, folder: Path) -> list[list[Job]]:
    """Groups of jobs that take turns, with their files in `folder`."""
    numbers = itertools.count()
    clouds = [[str(folder / f"{next(numbers)}.npy") for _ in of_task] for _, of_task in tasks]
    for files, (_, of_task) in zip(clouds, tasks, strict=True):
        for file, points in zip(files, of_task, strict=True):
            np.save(file, points)
    groups: list[list[Job]] = []
    for model, network in plan.networks.items():
        weights = str(folder / f"{next(numbers)}.safetensors")
        save_weights(weights, network)
        of_network = [
            [
                Job(
                    kind=kind,
                    names={"model": model, **names, "backend": backend, "precision": precision, "beside": beside},
                    weights=weights,
                    clouds=tuple(files),
                    device=str(plan.device),
                    threads=threads,
                    runs=plan.runs,
                    labels_file=str(folder / f"{next(numbers)}.labels.npy"),
                )
                for backend, precision, threads, beside in plan.engines()
            ]
            for (names, _), files in zip(tasks, clouds, strict=True)
        ]
        groups += (
            of_network if in_turns else [[job] for of_engine in zip(*of_network, strict=True) for job in of_engine]
        )
    return groups


def _measure(groups: list[list[Job]], progress: Progress | None, outcomes: list[Outcome], skipped: list[Row]) -> None:
    """Adds to `outcomes` and `skipped`, which keep what was measured when an interrupt ends this."""
    total, num_done = sum(job.runs for group in groups for job in group), 0
    for group in groups:
        waiting = list(group)
        while waiting:
            with _Processes() as processes:
                num_before = len(skipped)
                _start(processes, waiting, skipped)
                num_done += sum(entry.pop("runs") for entry in skipped[num_before:])
                for taken in _in_turns(processes, outcomes):
                    num_done += taken
                    if progress is not None:
                        progress(num_done, total)


class _Processes(list[MeasuringProcess]):
    """Ends the processes in it at the end of a `with` block, whatever happens."""

    def __enter__(self) -> "_Processes":
        return self

    def __exit__(self, *exception: object) -> None:
        for process in self:
            process.end()


def _start(processes: _Processes, waiting: list[Job], skipped: list[Row]) -> None:
    """Starts processes for the first jobs of `waiting` while memory lasts, and removes these jobs from it."""
    while waiting and (not processes or processes[-1].has_room_for_another):
        job = waiting.pop(0)
        try:
            reason = reason_against(job.names["backend"], job.names["precision"], torch.device(job.device))
            if reason is not None:
                raise CannotMeasureError(reason)
            processes.append(MeasuringProcess(job))
        except CannotMeasureError as error:
            skipped.append({**job.names, "threads": job.threads, "reason": str(error), "runs": job.runs})


def _in_turns(processes: _Processes, outcomes: list[Outcome]) -> Iterator[int]:
    """Adds an Outcome for each process, and yields how many repeats each turn took."""
    turns = [(process, Outcome(process.job, process.facts)) for process in processes]
    outcomes.extend(outcome for _, outcome in turns)
    while turns:
        for process, outcome in turns:
            num_before = len(outcome.samples)
            with busy_processes(outcome.job.names["beside"]):
                outcome.samples += process.repeat(num_before, outcome.job.runs - num_before)
            yield len(outcome.samples) - num_before
        turns = [(process, outcome) for process, outcome in turns if len(outcome.samples) < outcome.job.runs]
