"""Measures several jobs in turns, so that a noisy machine hits all of them alike."""

from dataclasses import dataclass, field

import numpy as np

from pvd_cli.bench.job import Job
from pvd_cli.bench.process import CannotMeasureError, MeasuringProcess
from pvd_core.borders.errors import UserError


@dataclass
class Outcome:
    job: Job
    facts: dict
    samples: list = field(default_factory=list)  # dictionaries {what: milliseconds}; not every repeat measures all

    def values(self, what):
        return np.array([sample[what] for sample in self.samples if what in sample])

    def median(self, what):
        return float(np.median(self.values(what)))

    def percentile(self, what, percent):
        return float(np.percentile(self.values(what), percent))


@dataclass
class Measured:
    """`skipped` are dictionaries of jobs that do not run here, with their reason. `ended_by`: the KeyboardInterrupt or
    SystemExit that ended the measuring before all was done; Outcomes then have the samples taken until then."""

    outcomes: list[Outcome]
    skipped: list[dict]
    ended_by: BaseException | None = None

    def table(self, rows):
        """What a table's function returns: `rows`, with what else is known of them."""
        return {"rows": rows, "skipped": self.skipped, "ended_by": self.ended_by}


def measure(groups, progress=None):
    """Measured, its outcomes in the order of the jobs. `groups` are lists of jobs: those of a group take turns, as many
    at once as memory allows. UserError when no job could be measured; an interrupt before the first sample goes on."""
    outcomes, skipped, ended_by = [], [], None
    try:
        _measure(groups, progress, outcomes, skipped)
    except (KeyboardInterrupt, SystemExit) as error:
        ended_by = error
    outcomes = [outcome for outcome in outcomes if outcome.samples]
    if not outcomes:
        raise ended_by or UserError(f"nothing could be timed: {'; '.join(entry['reason'] for entry in skipped)}")
    return Measured(outcomes, skipped, ended_by)


def _measure(groups, progress, outcomes, skipped):
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


class _Processes(list):
    """Ends the processes in it, whatever happens."""

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for process in self:
            process.end()


def _start(processes, waiting, skipped):
    """Starts processes for the first jobs of `waiting`, and takes those from it, while memory lasts."""
    while waiting and (not processes or processes[-1].has_room_for_another):
        job = waiting.pop(0)
        try:
            processes.append(MeasuringProcess(job))
        except CannotMeasureError as error:
            skipped.append({**job.names, "threads": job.threads, "reason": str(error), "runs": job.runs})


def _in_turns(processes, outcomes):
    """Adds an Outcome a process, and yields how many repeats each turn took."""
    turns = [(process, Outcome(process.job, process.facts)) for process in processes]
    outcomes.extend(outcome for _, outcome in turns)
    while turns:
        for process, outcome in turns:
            num_before = len(outcome.samples)
            outcome.samples += process.repeat(num_before, outcome.job.runs - num_before)
            yield len(outcome.samples) - num_before
        turns = [(process, outcome) for process, outcome in turns if len(outcome.samples) < outcome.job.runs]
