"""Labels bags in processes of this machine. A process that is killed costs its bag one more try, and nothing else."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

from pvd_core.runtime.processes import labelling_processes
from pvd_ros.fleet.task import BagTask, Event, failure, label_task

MOST_TRIES = 2
_SECONDS_TO_END = 30
# Of a killed server: until then multiprocessing takes it for running and starts no other one.
_SECONDS_TO_BE_GONE = 1.0
_Waiting = deque[tuple[BagTask, int]]


def label_in_processes(tasks: Sequence[BagTask], num_processes: int) -> Generator[Event, None, None]:
    """Yields what happens while `num_processes` processes label the bags; each task ends with a "done". Closing the
    generator ends the processes; they keep what they have written."""
    waiting = _Waiting((task, 1) for task in tasks)
    workers = [_Worker() for _ in range(min(num_processes, len(tasks)))]
    try:
        while waiting or any(worker.task for worker in workers):
            for worker in workers:
                if worker.task is None and waiting:
                    yield worker.start(*waiting.popleft())
            busy = {worker.connection: worker for worker in workers if worker.task}
            for connection in wait(list(busy)):
                yield busy[connection].heard(waiting)  # type: ignore[index]
    finally:
        for worker in workers:
            worker.stop()
        for worker in workers:
            worker.join()


class _Worker:
    """A process, started when it gets its first task, and anew after it was killed."""

    task: BagTask | None = None
    connection: Connection

    def __init__(self) -> None:
        self._process: Any = None
        self._try_number = 0

    def start(self, task: BagTask, try_number: int) -> Event:
        """Gives it a task."""
        self.task, self._try_number = task, try_number
        if self._process is None:
            self._begin()
        with suppress(OSError):  # it may have ended, which is heard next
            self.connection.send(task)
        return Event(task, "started")

    def _begin(self) -> None:
        context = labelling_processes()
        self.connection, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs,), daemon=True)
        try:
            process.start()
            self._process = process  # from here on there is something to end
        except (OSError, EOFError):  # the server that forks was killed; that there is no process is heard next
            time.sleep(_SECONDS_TO_BE_GONE)
        theirs.close()  # so that its end is heard

    def heard(self, waiting: _Waiting) -> Event:
        """Its news, or what becomes of its task if it has ended."""
        assert self.task is not None  # only busy ones are heard
        task = self.task
        try:
            kind, content = self.connection.recv()
        except (EOFError, OSError):
            return self._lost(task, waiting)
        if kind == "clouds":
            return Event(task, "clouds", content)
        self.task = None
        return Event(task, "done", content.labelled, content)

    def _lost(self, task: BagTask, waiting: _Waiting) -> Event:
        how = "before it was at work"
        if self._process is not None:
            self._process.join()
            how = _how_it_ended(self._process.exitcode)
        self.connection.close()
        self._process, self.task = None, None
        if self._try_number < MOST_TRIES:
            # At the end: what killed it may kill its neighbours too.
            waiting.append((task, self._try_number + 1))
            return Event(task, "lost")
        return Event(task, "done", 0, failure(task, f"its process ended {MOST_TRIES} times, the last time {how}"))

    def stop(self) -> None:
        """Asks it to end."""
        if self._process is not None:
            self._process.terminate()
            self.connection.close()

    def join(self) -> None:
        """Waits for its end."""
        if self._process is not None:
            self._process.join(_SECONDS_TO_END)
            self._process.kill()


def _how_it_ended(code: int) -> str:
    if code == -signal.SIGKILL:
        return "killed (signal 9), as the system does where memory runs out: try fewer --processes"
    return f"by signal {-code}" if code < 0 else f"with exit code {code}"


def _work(connection: Connection) -> None:
    """The life of a process: tasks come, news go."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one that started it
    # Unwinds, so that a bag keeps what is written.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return

        def tell(kind: str, content: object) -> None:
            try:
                connection.send((kind, content))
            except OSError:  # nobody hears it any more: end as by a signal, and keep what is written
                sys.exit(1)

        tell("done", label_task(task, lambda done, _total: tell("clouds", done)))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None  # this runs in a child process
    parent.join()
    os._exit(1)
