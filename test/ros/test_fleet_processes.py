"""Bags are labelled by processes and by Ray; a worker that is killed costs nothing but one more try of its bag."""

import importlib.util
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest
from fleets import assert_whole, settings_with, write_fleet
from ros_weights import tiny_weights

from pvd_core.borders.errors import UserError
from pvd_ros.fleet import RaySettings, find_bags, label_in_processes, label_with_ray, plan_fleet, processes

# Enough clouds that a bag is not done when its worker is killed after the first.
NUM_CLOUDS, NUM_POINTS = 40, 2000
# Not imported here: what it reads from the environment is set before.
needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="extra fleet is not installed")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return tiny_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def tasks(tmp_path, weights):
    """A function that writes a fleet and gives its tasks."""

    def planned(num_bags, num_clouds=NUM_CLOUDS):
        write_fleet(tmp_path / "in", num_bags, num_clouds, NUM_POINTS)
        return plan_fleet(find_bags(tmp_path / "in", tmp_path / "out"), tmp_path / "out", settings_with(weights)).tasks

    return planned


def killing_one_at_work(events):
    """The events; once a bag is half done, one of the processes is killed with SIGKILL."""
    is_killed = False
    for event in events:
        yield event
        if event.kind == "clouds" and event.number == NUM_CLOUDS // 2 and not is_killed:
            is_killed = True
            multiprocessing.active_children()[0].kill()


def check_fleet(tmp_path, events, num_bags):
    results = [event.result for event in events if event.kind == "done"]
    assert Counter(result.name for result in results).most_common(1)[0][1] == 1, "a bag was done twice"
    assert {(result.status, result.labelled) for result in results} == {("labelled", NUM_CLOUDS)}
    assert len(results) == num_bags
    assert_whole(tmp_path / "out", num_bags, NUM_CLOUDS)


def test_a_killed_process_costs_one_more_try_of_its_bag_and_its_neighbour_goes_on(tmp_path, tasks):
    events = list(killing_one_at_work(label_in_processes(tasks(3), 2)))
    (lost,) = (event.task.name for event in events if event.kind == "lost")
    assert Counter(event.task.name for event in events if event.kind == "started")[lost] == 2
    check_fleet(tmp_path, events, 3)


def test_a_bag_whose_process_is_killed_each_time_fails_with_the_cause(tasks):
    events = []
    for event in label_in_processes(tasks(1, 1), 1):
        events.append(event)
        if event.kind == "started":
            multiprocessing.active_children()[0].kill()
    assert [event.kind for event in events] == ["started", "lost", "started", "done"]
    assert events[-1].result.status == "failed"
    assert "its process ended 2 times, the last time killed (signal 9)" in events[-1].result.reason


def test_stopping_ends_the_processes_and_a_later_run_goes_on_with_what_they_wrote(tmp_path, tasks):
    (task,) = tasks(1)
    events = label_in_processes([task], 1)
    for event in events:
        if event.kind == "clouds" and event.number == NUM_CLOUDS // 2:
            break
    events.close()
    assert multiprocessing.active_children() == []
    assert not task.out.exists()
    assert task.out.with_name(".drive0.unfinished").is_dir()
    check_fleet(tmp_path, list(label_in_processes([task], 1)), 1)


def starts_that_fail(monkeypatch, *errors):
    """Lets the first starts of processes end with these errors instead."""
    errors, start = list(errors), ForkServerProcess.start

    def start_or_fail(process):
        if errors:
            raise errors.pop(0)
        start(process)

    monkeypatch.setattr(ForkServerProcess, "start", start_or_fail)
    monkeypatch.setattr(processes, "_SECONDS_TO_BE_GONE", 0)


def test_a_stop_while_a_process_is_being_started_ends_the_labelling(tasks, monkeypatch):
    starts_that_fail(monkeypatch, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        list(label_in_processes(tasks(1, 1), 1))


@pytest.mark.parametrize("error", [EOFError("unexpected EOF"), ConnectionResetError(), BrokenPipeError()])
def test_a_process_that_cannot_be_started_as_its_server_was_killed_costs_a_try(tmp_path, tasks, monkeypatch, error):
    starts_that_fail(monkeypatch, error)
    events = list(label_in_processes(tasks(1, 1), 1))
    assert [event.kind for event in events if event.kind != "clouds"] == ["started", "lost", "started", "done"]
    assert_whole(tmp_path / "out", 1, 1)


def test_a_bag_whose_process_can_never_be_started_fails(tasks, monkeypatch):
    starts_that_fail(monkeypatch, EOFError(), EOFError())
    assert "2 times, the last time before it was at work" in list(label_in_processes(tasks(1, 1), 1))[-1].result.reason


def test_an_interrupt_from_the_terminal_is_for_the_command_alone(project_root):
    # In a process of its own, for here a server may run already; without what it imports, which takes seconds.
    code = """
import signal
from multiprocessing.context import ForkServerContext
from pvd_core.runtime.processes import labelling_processes
ForkServerContext.set_forkserver_preload = lambda *_: None
blocked = (signal.pthread_sigmask, (signal.SIG_BLOCK, ()))
with labelling_processes().Pool(1) as pool:
    assert signal.SIGINT in pool.apply(*blocked)
assert signal.SIGINT not in blocked[0](*blocked[1])
"""
    ended = subprocess.run([sys.executable, "-c", code], cwd=project_root, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.slow
def test_twenty_bags_are_whole_though_a_process_is_killed(tmp_path, tasks):
    check_fleet(tmp_path, list(killing_one_at_work(label_in_processes(tasks(20), 2))), 20)


def ancestors(pid):
    while pid > 1:
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return
        yield pid


def ray_workers_at_work():
    """Processes of ours that label for Ray."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            is_worker = path.read_bytes().startswith(b"ray::label_for_ray")
        except OSError:
            continue
        if is_worker and os.getpid() in ancestors(int(path.parent.name)):
            yield int(path.parent.name)


@needs_ray
@pytest.mark.slow
def test_twenty_bags_are_whole_though_a_worker_of_ray_is_killed(tmp_path, tasks):
    planned = tasks(20)
    half_done = [task.out.with_name(f".{task.out.name}.unfinished") for task in planned]
    events, killed = [], None
    for event in label_with_ray(planned, RaySettings("local", local_cpus=2)):
        events.append(event)
        deadline = time.monotonic() + 60
        while killed is None and time.monotonic() < deadline:
            at_work = list(ray_workers_at_work())
            if at_work and any(folder.exists() for folder in half_done):
                killed = at_work[0]
                os.kill(killed, signal.SIGKILL)
    assert killed is not None
    assert any(event.kind == "started" for event in events)
    check_fleet(tmp_path, events, 20)


@needs_ray
def test_a_ray_that_is_not_there_is_named_with_what_to_do(tasks):
    with pytest.raises(UserError, match=r"no Ray at 'auto': .*--ray local"):
        list(label_with_ray(tasks(1, 1), RaySettings("auto")))


@pytest.mark.parametrize(("settings", "reason"), [({"gpus": 1.5}, "1.5 GPUs a task"), ({"address": " "}, "is empty")])
def test_settings_of_ray_that_cannot_be_are_refused(settings, reason):
    with pytest.raises(UserError, match=reason):
        RaySettings(**settings)
