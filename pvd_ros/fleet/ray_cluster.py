"""Labels bags on the machines of a Ray cluster, or by a Ray of this machine alone. Ray places and repeats the tasks."""

from __future__ import annotations

import importlib.util
import os
import secrets
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pvd_core.borders.errors import UserError
from pvd_ros.fleet.task import BagResult, BagTask, Event, failure, label_task

LOCAL = "local"
MOST_RETRIES = 3
_POLL_S = 1.0


@dataclass(frozen=True)
class RaySettings:
    """address: "local" starts a Ray of this machine that ends with the command, "auto" takes the cluster that this
    machine belongs to, others are addresses of one, as ray.init takes them. cpus, gpus: what a task needs. local_cpus:
    how many CPUs a "local" Ray has; None for all."""

    address: str = "auto"
    cpus: int = 1
    gpus: float = 0.0
    local_cpus: int | None = None

    def __post_init__(self) -> None:
        if not self.address.strip():
            raise UserError("the address of Ray is empty: expected auto, local, or HOST:PORT")
        if not 0 <= self.gpus <= 64 or (self.gpus > 1 and self.gpus != round(self.gpus)):
            raise UserError(f"{self.gpus:g} GPUs a task: expected a share from 0 to 1, or a whole number")


def check_installed() -> None:
    """UserError where Ray is not installed. It is imported later, once its environment is set."""
    if importlib.util.find_spec("ray") is None:
        raise UserError("--ray needs the package ray, which is not installed: pip install 'pvd_ros[fleet]'")


def label_with_ray(tasks: Sequence[BagTask], settings: RaySettings) -> Generator[Event, None, None]:
    """Yields what happens while Ray labels the bags; each task ends with a "done". The files must be at the same paths
    on all machines, and this program installed on them. Closing the generator ends the tasks; they keep what they have
    written. UserError where the cluster cannot be reached or has no room for a task."""
    # Read when ray is imported.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if settings.address == LOCAL and not {"ray", "RAY_AUTH_MODE"} & {*sys.modules, *os.environ}:
        # Only this command may use it. Left alone, Ray would write a token into the home folder.
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    import ray

    started = _connect(ray, settings)
    try:
        _check_room(ray, settings)
        board = ray.remote(num_cpus=0, max_restarts=-1)(Board).remote()
        label = ray.remote(max_retries=MOST_RETRIES, num_cpus=settings.cpus, num_gpus=settings.gpus)(label_for_ray)
        task_of = {label.remote(task, board): task for task in tasks}
        waiting = list(task_of)
        news = _News(ray, board)
        try:
            while waiting:
                done, waiting = ray.wait(waiting, timeout=_POLL_S)
                yield from news.of([task_of[each] for each in waiting])
                for each in done:
                    yield _ended(ray, task_of[each], each)
        finally:
            for each in waiting:
                ray.cancel(each, force=False)
    finally:
        if started:
            ray.shutdown()


class Board:
    """Lives in the cluster; workers write on it how far they are."""

    def __init__(self) -> None:
        self._clouds: dict[str, int] = {}

    def write(self, name: str, clouds: int) -> None:
        """So many clouds of a bag are done."""
        self._clouds[name] = clouds

    def read(self) -> dict[str, int]:
        """{name of a bag: clouds} of those that were begun."""
        return self._clouds


def label_for_ray(task: BagTask, board: Any) -> BagResult:
    """What a worker does: `label_task`, and a word on the board now and then."""
    board.write.remote(task.name, 0)
    last = time.monotonic()

    def after_cloud(done: int, _total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _POLL_S:
            last = time.monotonic()
            board.write.remote(task.name, done)

    return label_task(task, after_cloud)


class _News:
    """What is new on the board, as events."""

    def __init__(self, ray: Any, board: Any) -> None:
        self._ray, self._board = ray, board
        self._known: dict[str, int] = {}

    def of(self, tasks: Sequence[BagTask]) -> Iterator[Event]:
        """The news of these tasks since the last call; none while the board cannot be reached."""
        clouds_of: dict[str, int] = {}
        with suppress(self._ray.exceptions.RayError):
            clouds_of = self._ray.get(self._board.read.remote(), timeout=_POLL_S)
        for task in (task for task in tasks if task.name in clouds_of):
            if task.name not in self._known:
                yield Event(task, "started")
            if clouds_of[task.name] > self._known.get(task.name, 0):
                yield Event(task, "clouds", clouds_of[task.name])
            self._known[task.name] = clouds_of[task.name]


def _connect(ray: Any, settings: RaySettings) -> bool:
    """Whether it was this that connected."""
    if ray.is_initialized():
        return False
    # Nothing is uploaded or downloaded: a runtime environment with files is not asked for.
    arguments: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if settings.address == LOCAL:
        arguments |= {"include_dashboard": False, "num_cpus": settings.local_cpus}
    try:
        ray.init(address=settings.address, **arguments)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise UserError(
            f"no Ray at {settings.address!r}: {error}; start one (`ray start --head --include-dashboard=false`), set "
            "RAY_AUTH_MODE=token if it asks for a token, or let this machine do with --ray local"
        ) from error
    return True


def _check_room(ray: Any, settings: RaySettings) -> None:
    """Ray would wait for ever for what it does not have."""
    has = ray.cluster_resources()
    for name, needed in (("CPU", settings.cpus), ("GPU", settings.gpus)):
        if needed > has.get(name, 0):
            raise UserError(f"a task needs {needed:g} {name}, the cluster has {has.get(name, 0):g} in all")


def _ended(ray: Any, task: BagTask, reference: Any) -> Event:
    try:
        result = ray.get(reference)
    except ray.exceptions.RayError as error:
        result = failure(task, f"Ray gave it up after {MOST_RETRIES} retries: {type(error).__name__}: {error}")
    return Event(task, "done", result.labelled, result)
