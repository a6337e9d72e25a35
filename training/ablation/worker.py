"""Does the runs of a grid one after another.

Several processes, also on several machines with a common folder, may share the runs: a run belongs to the process that
holds its lock. The system releases the locks of a process that ends.
"""

import json
import time
from collections.abc import Callable
from typing import Any

from pvd_core.borders.locks import locked
from pvd_core.taxonomy import taxonomy_named
from training.ablation.finished import check_same_run, is_finished, write_result
from training.ablation.plan import Plan, Run
from training.data.checking.check import SCORE, Part, check_dataset
from training.judge.evaluate import evaluate
from training.run.config import TrainConfig
from training.run.loop import train
from training.run.progress import NoProgress
from training.run.run_folder import RunFolder
from training.run.state import DivergedError

_WAIT_S = 1.0


class RunInterruptedError(Exception):
    """The run stopped on the signal `signal_name` and kept its state."""

    def __init__(self, run: str, signal_name: str | None) -> None:
        super().__init__(run)
        self.signal_name = signal_name


def work(
    plan: Plan,
    progress: Callable[[], NoProgress] = NoProgress,
    note: Callable[[str], object] = print,
    on_finished: Callable[[], object] = lambda: None,
) -> dict[str, str]:
    """Does the runs of a plan that have not finished. Returns {name: message} of those that cannot be finished.

    `progress()` makes the progress of a training, `note(text)` shows a line to the user, `on_finished()` is called
    after each run. Runs that another process does are left to it; this one ends when only such runs are left.
    UserError where a folder holds a run with other settings, RunInterruptedError after Ctrl-C.
    """
    for run in plan.runs:
        check_same_run(run)
    failed: dict[str, str] = {}
    is_waiting = False
    while left := _left(plan, failed):
        ready = [run for run in left if all(map(is_finished, run.needs))]
        done = next((run for run in ready if _done_here(run, plan, progress, note, failed)), None)
        if done is not None:
            is_waiting = False
            on_finished()
        elif len(ready) == len(left):
            note(f"another process is at the last {len(left)} runs; it will write the results")
            break
        else:
            if not is_waiting:
                note("waiting for another process, whose run the next ones need")
            is_waiting = True
            time.sleep(_WAIT_S)
    return failed


def _left(plan: Plan, failed: dict[str, str]) -> list[Run]:
    """The runs that are still to be done, in order. Those that need a failed one are added to `failed`."""
    left, hopeless = [], {run.folder for run in plan.runs if run.name in failed}
    for run in plan.runs:
        if hopeless & set(run.needs):
            failed.setdefault(run.name, "a run that it needs has failed")
            hopeless.add(run.folder)
        elif run.folder not in hopeless and not is_finished(run.folder):
            left.append(run)
    return left


def _done_here(
    run: Run,
    plan: Plan,
    progress: Callable[[], NoProgress],
    note: Callable[[str], object],
    failed: dict[str, str],
) -> bool:
    """Does the run, which may fail. False if another process is doing it or has done it in the meantime."""
    lock = run.folder.with_name(f".{run.folder.name}.lock")
    with locked(lock, waits=False) as is_held:
        if not is_held or is_finished(run.folder):
            return False
        number = [other.name for other in plan.runs].index(run.name) + 1
        note(f"run {number} of {len(plan.runs)}: {run.name}")
        try:
            _do(run, progress, note)
        except DivergedError as error:
            failed[run.name] = str(error)
            note(f"{run.name} has failed: {error}")
    return True


def _do(run: Run, progress: Callable[[], NoProgress], note: Callable[[str], object]) -> None:
    if run.weights is not None:
        write_result(run, _evaluated(run.config, run.weights, note), steps=0, minutes=0.0)
        return
    folder = RunFolder(run.folder)
    summary = _summary_of_finished_training(folder)
    if summary is None:
        summary = train(run.config, run.folder, resume=_can_resume(run, folder), progress=progress())
    assert summary is not None  # only a rank that is not the first gives none; grids run in single processes
    if summary["stopped"] == "interrupted":
        raise RunInterruptedError(run.name, summary["signal"])
    write_result(run, summary, summary["steps"], summary["minutes"])


def _can_resume(run: Run, folder: RunFolder) -> bool:
    """Whether a killed process left a run that can be continued. If so, its config is replaced by that of `run`: data
    and teacher may have been moved since."""
    if folder.config.is_file():
        folder.open(run.config)
        return True
    for leftover in folder.path.glob(".*.tmp"):
        # From a process that was killed while writing its first file.
        leftover.unlink()
    return False


def _evaluated(config: TrainConfig, weights: str, note: Callable[[str], object]) -> dict[str, Any]:
    validation = config.validation
    part = Part(SCORE, validation.sequences, validation.max_scans)
    taxonomy = taxonomy_named(config.taxonomy)
    check_dataset(config.dataset, [part], config.columns, taxonomy=taxonomy).say(note)
    return evaluate(
        config.dataset,
        weights,
        validation.sequences,
        config.device,
        max_scans=validation.max_scans,
        columns=config.columns,
        taxonomy=config.taxonomy,
    )


def _summary_of_finished_training(folder: RunFolder) -> dict[str, Any] | None:
    """The summary of a training that another process ended before it was killed; None where training has not ended."""
    if not folder.summary.is_file():
        return None
    summary = json.loads(folder.summary.read_text(encoding="utf-8"))
    return summary if summary["stopped"] == "done" else None
