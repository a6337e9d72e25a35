"""The steps of `make gpu` within their budget, with steps that sleep, fail and start processes."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from ros_processes import wait_until

from scripts.gpu.budget import Step, run_stages, seconds_of
from scripts.gpu.report import Report, Rows


def step(name, script, share=1.0, **options):
    return Step(name, share, lambda seconds: (sys.executable, "-c", script), **options)


def has_ended(number):
    """Whether a process is gone, or a zombie at any priority."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", number], capture_output=True, text=True).stdout.strip()
    return state[:1] in ("", "Z")


def run(steps, budget_s, folder):
    """Of steps that run one after another."""
    return run_side_by_side([[each] for each in steps], budget_s, folder)


def run_side_by_side(stages, budget_s, folder):
    outcomes = []
    run_stages(stages, budget_s, folder, os.environ, lambda name, outcome: outcomes.append((name, outcome)))
    return outcomes


def test_steps_run_in_their_order_and_one_that_fails_costs_only_itself(tmp_path):
    steps = [step("first", "raise ValueError('no such card')"), step("second", "print('well')")]

    (first, failed), (second, done) = run(steps, 30, tmp_path)

    assert (first, failed["ended"], second, done["ended"]) == ("first", "failed", "second", "done")
    assert "exit code 1" in failed["reason"]
    assert "no such card" in failed["reason"]
    assert (tmp_path / "second.log").read_text() == "well\n"


def test_a_step_that_runs_out_of_time_ends_with_the_processes_it_started_and_the_next_one_runs(tmp_path):
    # Deaf to Ctrl-C, both of them.
    sleep = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(600)"
    parent = (
        f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {sleep!r}]); print(p.pid, flush=True)"
    )
    start = time.monotonic()

    (_, late), (_, done) = run([step("late", f"{parent}; {sleep}"), step("next", "", share=4)], 10, tmp_path)

    assert (late["ended"], done["ended"]) == ("out of time", "done")
    assert time.monotonic() - start < 8
    child = (tmp_path / "late.log").read_text().split()[0]
    assert has_ended(child)


def test_a_step_may_end_itself_after_ctrl_c(tmp_path):
    script = "import time\ntry: time.sleep(600)\nexcept KeyboardInterrupt: print('kept what was timed')"
    ((_, outcome),) = run([step("bench", script)], 4, tmp_path)

    assert outcome["ended"] == "out of time"
    assert (tmp_path / "bench.log").read_text() == "kept what was timed\n"


def test_the_steps_of_a_stage_run_side_by_side_and_each_ends_by_itself(tmp_path):
    def waits_for(own, other):
        return (
            f"import pathlib, time\npathlib.Path({str(tmp_path / own)!r}).touch()\n"
            f"while not pathlib.Path({str(tmp_path / other)!r}).exists(): time.sleep(0.02)"
        )

    stages = [
        [
            step("one", waits_for("one", "two")),
            step("two", waits_for("two", "one")),
            step("bad", "raise ValueError(7)"),
        ],
        [step("next", "")],
    ]
    outcomes = dict(run_side_by_side(stages, 40, tmp_path))

    assert {name: outcome["ended"] for name, outcome in outcomes.items()} == {
        **{"one": "done", "two": "done", "bad": "failed"},
        "next": "done",
    }
    assert "ValueError: 7" in outcomes["bad"]["reason"]


def test_a_call_that_is_ended_ends_the_steps_that_run(tmp_path):
    script = (
        "import os, sys; from pathlib import Path; from scripts.gpu.budget import Step, run_stages\n"
        "program = 'import os, time; print(os.getpid(), flush=True); time.sleep(60)'\n"
        "sleep = lambda seconds: (sys.executable, '-c', program)\n"
        f"run_stages([[Step('a', 1, sleep), Step('b', 1, sleep)]], 60, Path({str(tmp_path)!r}), os.environ, print)"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    logs = [tmp_path / "a.log", tmp_path / "b.log"]
    wait_until(lambda: all(log.is_file() and log.read_text().strip() for log in logs))
    process.send_signal(signal.SIGINT)
    process.wait(20)
    for log in logs:
        assert has_ended(log.read_text().strip())


def test_a_step_that_cannot_run_here_is_left_out_with_its_reason_and_costs_no_time():
    absent = step("tests", "", share=3, absent="the package pytest is not installed")
    waiting = [[step("a", "")], [absent], [step("b", "", share=2), step("c", "")]]

    assert seconds_of(waiting, 30) == 10
    assert seconds_of(waiting[1:], 30) == 0
    assert seconds_of(waiting[2:], 30) == 30
    outcomes = run([absent], 1, None)
    assert outcomes == [("tests", {"ended": "left out", "reason": absent.absent, "seconds": 0.0})]


@pytest.mark.parametrize(("left_s", "expected"), [(40, 20), (400, 60)])
def test_a_step_takes_its_share_of_what_is_left_and_no_more_than_its_most(left_s, expected):
    assert seconds_of([[step("tuning", "", most_s=60)], [step("latency", "")]], left_s) == expected


def test_results_are_written_after_each_step_with_the_rows_of_one_that_was_ended(tmp_path):
    report = Report(1, torch.device("cpu"), 60, tmp_path)
    rows = Rows(tmp_path / "latency.json")
    rows.add({"network": "tiny", "p50_ms": 1.25})

    report.note("latency", {"ended": "out of time", "reason": "ended after 9 s", "seconds": 9.0})

    written = json.loads((tmp_path / "part1.json").read_text())
    assert written["steps"]["latency"]["rows"] == [{"network": "tiny", "p50_ms": 1.25}]
    assert written["hardware"]["cpu"]
    text = (tmp_path / "part1.md").read_text()
    assert "rehearsal without a GPU" in text
    assert "out of time (ended after 9 s), 9 s" in text
    assert "| tiny | 1.25 |" in text
    assert report.is_good
    report.note("tuning", {"ended": "out of time", "reason": "ended after 9 s", "seconds": 9.0})
    assert not report.is_good
