"""Percentiles over the last clouds, in bounded memory, and their table."""

import numpy as np
import pytest

from pvd_ros.report.latency import STAGES, LatencyWindow, latency_table


def test_percentiles_are_numpys_over_the_last_values_only():
    values = np.random.default_rng(0).exponential(20, 1000)
    window = LatencyWindow(size=100)
    for value in values:
        window.record({"network": value, "total": 2 * value})
    expected = np.percentile(values[-100:], [50, 90, 99])
    found = window.percentiles()
    assert list(found["network"].values()) == pytest.approx(expected)
    assert list(found["total"].values()) == pytest.approx(2 * expected)


def test_stages_are_listed_in_the_order_of_work_whatever_the_order_of_recording():
    window = LatencyWindow()
    window.record({"total": 1, "new_stage": 1, "decode": 1, "queue": 1})
    assert list(window.percentiles()) == ["queue", "decode", "total", "new_stage"]


def test_a_stage_that_is_sometimes_absent_keeps_its_own_count():
    window = LatencyWindow(size=2)
    window.record({"total": 1, "stamp_to_publish": 5})
    window.record({"total": 3})
    assert window.percentiles()["stamp_to_publish"]["p50"] == 5


def test_the_table_shows_every_stage_and_percentile():
    window = LatencyWindow()
    window.record(dict.fromkeys(STAGES, 12.345))
    table = latency_table(window.percentiles()).splitlines()
    assert table[0].split() == ["stage", "(ms)", "p50", "p90", "p99"]
    assert [line.split() for line in table[1:]] == [[stage, "12.35", "12.35", "12.35"] for stage in STAGES]


def test_an_empty_window_says_that_nothing_was_measured():
    assert LatencyWindow().percentiles() == {}
    assert "no cloud was labelled" in latency_table({})
