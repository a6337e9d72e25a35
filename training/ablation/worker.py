"""Does the runs of a grid one after another. Several processes, also of several machines with a common folder, share
them: a run belongs to the process that holds its lock, which the system takes back from a killed one."""

import json
import time

from training.ablation.finished import check_same_run, is_finished, write_result
from training.ablation.locks import locked
from training.judge.evaluate import evaluate
from training.run.loop import train
from training.run.progress import NoProgress
from training.run.run_folder import RunFolder
from training.run.state import DivergedError

_WAIT_S = 1.0


class RunInterruptedError(Exception):
    """The run stopped on a signal and kept its state."""


def work(plan, progress=NoProgress, note=print, on_finished=lambda: None):
    """Does what is left of a Plan. Returns {name: message} of the runs that cannot be finished; raises
    RunInterruptedError.

    `progress()` makes the progress of a training, `on_finished()` is called after each run. Runs that another process
    is at are left to it: where only such are left, that process ends the grid.
    """
    for run in plan.runs:
        check_same_run(run)
    failed, is_waiting = {}, False
    while left := _left(plan, failed):
        ready = [run for run in left if all(map(is_finished, run.needs))]
        done = next((run for run in ready if _done_alone(run, plan, progress, note, failed)), None)
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


def _left(plan, failed):
    """Runs to be done, in order. Those that need a failed one fail with it."""
    left, hopeless = [], {run.folder for run in plan.runs if run.name in failed}
    for run in plan.runs:
        if hopeless & set(run.needs):
            failed.setdefault(run.name, "a run that it needs has failed")
            hopeless.add(run.folder)
        elif run.folder not in hopeless and not is_finished(run.folder):
            left.append(run)
    return left


def _done_alone(run, plan, progress, note, failed):
    """Whether this process did the run, well or not; False where another one is at it or was done meanwhile."""
    lock = run.folder.with_name(f".{run.folder.name}.lock")
    with locked(lock, waits=False) as is_held:
        if not is_held or is_finished(run.folder):
            return False
        number = [other.name for other in plan.runs].index(run.name) + 1
        note(f"run {number} of {len(plan.runs)}: {run.name}")
        try:
            _do(run, progress)
        except DivergedError as error:
            failed[run.name] = str(error)
            note(f"{run.name} has failed: {error}")
    return True


def _do(run, progress):
    if run.weights is not None:
        write_result(run, _evaluated(run), steps=0, minutes=0.0)
        return
    folder = RunFolder(run.folder)
    summary = _summary_of_finished_training(folder)
    if summary is None:
        summary = train(run.config, run.folder, resume=_can_resume(run, folder), progress=progress())
    if summary["stopped"] == "interrupted":
        raise RunInterruptedError(run.name)
    write_result(run, summary, summary["steps"], summary["minutes"])


def _can_resume(run, folder):
    """Whether a killed process left a run to go on with; if so its config is made the one of `run`, whose files may
    lie elsewhere by now."""
    if folder.config.is_file():
        folder.open(run.config)
        return True
    for leftover in folder.path.glob(".*.tmp"):
        # Of a process that was killed while it wrote its first file.
        leftover.unlink()
    return False


def _evaluated(run):
    validation = run.config.validation
    return evaluate(
        run.config.dataset, run.weights, validation.sequences, run.config.device, max_scans=validation.max_scans
    )


def _summary_of_finished_training(folder):
    """None where training has not ended; a killed process may have got that far."""
    if not folder.summary.is_file():
        return None
    summary = json.loads(folder.summary.read_text(encoding="utf-8"))
    return summary if summary["stopped"] == "done" else None
