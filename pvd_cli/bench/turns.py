"""Measures several jobs in turns, so that disturbances of the machine affect all of them alike."""

import contextlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pvd_cli.bench.busy import busy_processes
from pvd_cli.bench.plan import Job, Plan, Progress, Row, reason_against
from pvd_cli.bench.process import CannotMeasureError, MeasuringProcess
from pvd_cli.stops import stop_behind
from pvd_core.borders.errors import UserError
from pvd_core.clouds.history import PastScans
from pvd_core.taxonomy import TAXONOMIES
from pvd_core.weights import save_weights
from pvd_core.weights.facts import past_scans_facts

Task = tuple[dict[str, Any], Sequence[np.ndarray]]  # what names it in its rows; its clouds


@dataclass
class Outcome:
    """What was measured for a job. A sample is {what: milliseconds} of one repeat; not every repeat measures all."""

    job: Job
    facts: dict[str, Any]
    samples: list[dict[str, float]] = field(default_factory=list)
    labels: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint8))  # of its clouds, if it labels them

    @property
    def names(self) -> dict[str, Any]:
        """What identifies a row."""
        return {**self.job.names, "threads": self.facts["threads"]}

    @property
    def circumstances(self) -> dict[str, Any]:
        """What a row has besides times."""
        return {**self.job.names, **self.facts, "samples": len(self.samples)}

    def percentile(self, what: str, percent: float) -> float:
        """Of the milliseconds in all samples that have `what`."""
        return float(np.percentile([sample[what] for sample in self.samples if what in sample], percent))

    def median(self, what: str) -> float:
        return self.percentile(what, 50)


def by_scan(plan: Plan) -> list[Task]:
    return [({"scan": name}, [points]) for name, points in plan.scans.items()]


def measure(
    kind: str,
    plan: Plan,
    tasks: Sequence[Task],
    rows_of: Callable[[Sequence[Outcome]], list[Row]],
    progress: Progress | None = None,
    in_turns: bool = True,
) -> dict[str, Any]:
    """Makes measurement `kind` of every task with every network and engine of the plan: {"rows": those of the outcomes
    in this order, "skipped": combinations that do not run here, with their reason, "ended_by": None, or the
    KeyboardInterrupt or SystemExit that ended the measuring early}.

    The engines for a network and a task take turns, as many at once as memory allows; or, with `in_turns` False, an
    engine measures all tasks, then the next one does. UserError when nothing could be measured; an interrupt before the
    first sample is raised again."""
    outcomes: list[Outcome] = []
    skipped: list[Row] = []
    ended_by: KeyboardInterrupt | SystemExit | None = None
    with tempfile.TemporaryDirectory(prefix="pvd_bench_") as folder:
        try:
            _measure(_groups(kind, plan, tasks, in_turns, Path(folder)), progress, outcomes, skipped)
        except BaseException as error:
            ended_by = stop_behind(error)
            if ended_by is None:
                raise
    outcomes = [outcome for outcome in outcomes if outcome.samples]
    if not outcomes:
        raise ended_by or UserError(f"nothing could be timed: {'; '.join(entry['reason'] for entry in skipped)}")
    return {"rows": rows_of(outcomes), "skipped": skipped, "ended_by": ended_by}


def _groups(kind: str, plan: Plan, tasks: Sequence[Task], in_turns: bool, folder: Path) -> list[list[Job]]:
    """Groups of jobs that take turns; weights are written into `folder`."""
    groups: list[list[Job]] = []
    for number, (model, network) in enumerate(plan.networks.items()):
        weights = folder / f"{number}.safetensors"
        # The names of the classes do not matter here, only their number; nor which past scans are missing.
        taxonomies = [each.name for each in TAXONOMIES.values() if each.num_classes == network.config.num_classes]
        past = PastScans(past=1, time=True) if network.grid.time else PastScans()
        save_weights(weights, network, {"taxonomy": taxonomies[0], **past_scans_facts(past)})
        of_network = []
        for names, clouds in tasks:
            of_task = []
            for backend, precision, threads, beside in plan.engines():
                row = {"model": model, **names, "backend": backend, "precision": precision, "beside": beside}
                of_task.append(Job(kind, row, str(weights), clouds, str(plan.device), threads, plan.runs))
            of_network.append(of_task)
        groups += of_network if in_turns else [[job] for jobs in zip(*of_network, strict=True) for job in jobs]
    return groups


def _measure(groups: list[list[Job]], progress: Progress | None, outcomes: list[Outcome], skipped: list[Row]) -> None:
    """Adds to `outcomes` and `skipped`, which keep what was measured when an interrupt ends this."""
    total = sum(job.runs for group in groups for job in group)
    for waiting in groups:
        while waiting:
            with contextlib.ExitStack() as processes:
                started = _started(processes, waiting, skipped)
                turns = [(each, Outcome(each.job, each.facts, labels=each.labels)) for each in started]
                outcomes += [outcome for _, outcome in turns]
                while turns:
                    for process, outcome in turns:
                        num_before = len(outcome.samples)
                        with busy_processes(outcome.job.names["beside"]):
                            outcome.samples += process.repeat(num_before, outcome.job.runs - num_before)
                        if progress is not None:
                            num_done = sum(len(each.samples) for each in outcomes) + len(skipped) * outcome.job.runs
                            progress(num_done, total)
                    turns = [(each, outcome) for each, outcome in turns if len(outcome.samples) < outcome.job.runs]


def _started(processes: contextlib.ExitStack, waiting: list[Job], skipped: list[Row]) -> list[MeasuringProcess]:
    """Processes for the first jobs of `waiting`, as many as memory allows; these jobs are removed from it. `processes`
    ends them."""
    started: list[MeasuringProcess] = []
    while waiting and (not started or started[-1].has_room_for_another):
        job = waiting.pop(0)
        try:
            reason = reason_against(job.names["backend"], job.names["precision"], torch.device(job.device))
            if reason is not None:
                raise CannotMeasureError(reason)
            started.append(MeasuringProcess(job))
            processes.callback(started[-1].end)
        except CannotMeasureError as error:
            skipped.append({**job.names, "threads": job.threads, "reason": str(error)})
    return started
