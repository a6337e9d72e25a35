"""Clouds that never came: counted by numbers, reports and stamps, and said in the terminal. Needs no ROS."""

import math
import random

import pytest

from pvd_ros.node.spare_memory import SpareMemory
from pvd_ros.report.counters import CloudCounters
from pvd_ros.report.loss_lines import PERIOD_S, LossLines
from pvd_ros.report.missing import LostClouds, StampGaps

NOW_NS = 10**18


def lost_of(*numbers):
    lost = LostClouds()
    for number in numbers:
        lost.receive(number)
    return lost.total


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ((1, 2, 3), 0),
        ((1, 4, 5, 9), 5),
        ((3_600_000, 3_600_001), 0),  # a driver that has run for days when the node comes
        ((7, 9, 1, 2, 4), 2),  # the driver was started again
        ((None, None), 0),
        ((5, 10**9, 10**9 + 2), 1),  # another publisher
    ],
)
def test_clouds_between_two_numbers_of_one_publisher_are_lost(numbers, expected):
    assert lost_of(*numbers) == expected


def test_what_the_middleware_reports_before_the_first_and_after_the_last_cloud_counts_too():
    lost = LostClouds()
    lost.report(7)
    lost.receive(8)
    lost.receive(10)
    assert lost.total == 8
    lost.report(1)  # that of number 9, known already
    assert lost.total == 8
    lost.report(3)
    assert lost.total == 11


def test_an_absurd_report_of_the_middleware_is_ignored():
    lost = LostClouds()
    lost.report(2**31)
    lost.report(-3)
    assert lost.total == 0


def test_what_is_sent_between_two_subscriptions_is_not_lost_and_totals_stay():
    lost = LostClouds()
    for number in (1, 4, 5):
        lost.receive(number)
    lost.begin()
    assert (lost.total, lost.is_exact) == (2, True)
    lost.report(3)  # of the new subscription, before its first cloud
    lost.receive(40)
    assert lost.total == 5
    lost.receive(42)
    assert lost.total == 6


def test_a_pause_between_two_subscriptions_is_no_gap_and_the_period_stays_known():
    gaps = StampGaps()
    first = [gaps.missing_before(NOW_NS + stamp * 10**6) for stamp in range(0, 700, 100)]
    gaps.begin()
    assert [gaps.missing_before(NOW_NS + stamp * 10**6) for stamp in (3600, 3700, 4000)] == [0, 0, 2]
    assert not any(first)


def gaps_of(stamps_ms):
    gaps = StampGaps()
    return sum(gaps.missing_before(NOW_NS + round(stamp * 1e6)) for stamp in stamps_ms)


def test_gaps_are_estimated_within_a_tenth_where_four_of_five_clouds_are_missing():
    generator = random.Random(4)
    sent = [100 * index + generator.uniform(-8, 8) for index in range(2000)]
    came = [stamp for stamp in sent if generator.random() < 0.2]
    assert gaps_of(came) == pytest.approx(len(sent) - len(came), rel=0.1)


def test_gaps_before_the_period_is_known_are_counted_with_the_stamp_that_tells_it():
    gaps = StampGaps()
    found = [gaps.missing_before(NOW_NS + stamp * 10**6) for stamp in (0, 300, 400, 700, 800, 900)]
    assert found == [0, 0, 0, 0, 0, 4]
    assert gaps.missing_at_end() == 0


@pytest.mark.parametrize(
    ("stamps_ms", "expected"), [((), 0), ((0, 400), 0), ((0, 100, 200), 0), ((0, 100, 500), 3), ((0, 300, 800), 1)]
)
def test_gaps_between_a_few_clouds_are_counted_at_the_end(stamps_ms, expected):
    gaps = StampGaps()
    assert not any(gaps.missing_before(NOW_NS + stamp * 10**6) for stamp in stamps_ms)
    assert gaps.missing_at_end() == expected
    assert gaps.missing_at_end() == 0


def test_jitter_of_a_third_of_the_period_is_no_gap():
    generator = random.Random(5)
    assert gaps_of([100 * index + generator.uniform(-12, 12) for index in range(500)]) <= 5


def lines_of(now_s, before=None, is_exact=True, **counts):
    lines = before or LossLines("use the settings")
    return lines, lines.lines(CloudCounters(**counts).as_numbers(), now_s, is_exact)


def test_nothing_is_said_while_all_clouds_come_and_are_labelled():
    assert lines_of(0.0, received=10, labelled=10)[1] == []


def test_a_loss_is_said_at_once_with_its_share_and_the_remedy():
    _, (line,) = lines_of(0.0, received=2, lost=8)
    assert line == "8 of 10 (80.0 %) clouds never reached this node: use the settings"


def test_drops_are_said_with_their_share_of_the_received():
    _, (line,) = lines_of(0.0, received=40, dropped=30, labelled=10)
    assert line.startswith("30 of 40 (75.0 %) received clouds dropped: they come faster than they can be labelled")


def test_while_it_goes_on_a_line_comes_once_a_period_and_covers_that_time():
    lines, first = lines_of(0.0, received=10, dropped=1)
    assert len(first) == 1
    assert lines_of(PERIOD_S / 2, lines, received=50, dropped=11)[1] == []
    _, (line,) = lines_of(PERIOD_S, lines, received=90, dropped=21)
    assert line.startswith("20 of 80 (25.0 %)")
    assert lines_of(2 * PERIOD_S, lines, received=200, dropped=21)[1] == []


def test_what_was_not_said_yet_is_said_at_the_end():
    lines, _ = lines_of(0.0, received=10, lost=1)
    _, (line,) = lines_of(math.inf, lines, received=12, lost=2)
    assert line.startswith("1 of 3 (33.3 %)")


@pytest.mark.parametrize(
    ("received", "is_exact", "now_s", "is_said"),
    [(3, False, math.inf, True), (3, True, math.inf, False), (3, False, 9.0, False), (6, False, math.inf, False)],
)
def test_clouds_too_few_to_tell_losses_are_said_at_the_end(received, is_exact, now_s, is_said):
    _, found = lines_of(now_s, received=received, labelled=received, is_exact=is_exact)
    assert [line.startswith("3 clouds came, too few to tell") for line in found] == [True] * is_said
    assert all(line.endswith("if more were sent: use the settings") for line in found)


@pytest.mark.parametrize(("is_exact", "num_lines"), [(True, 0), (False, 1)])
def test_gaps_between_stamps_stand_for_losses_only_where_clouds_are_not_numbered(is_exact, num_lines):
    assert len(lines_of(0.0, received=10, gaps=4, is_exact=is_exact)[1]) == num_lines


def test_memory_is_given_back_after_a_cloud_far_larger_than_the_others_only():
    memory, usual, huge = SpareMemory(), 2_000_000, 80_000_000
    assert [memory.after_cloud(size) for size in (usual, usual, usual, huge, usual)] == [False] * 3 + [True, False]
    assert not any([memory.after_cloud(huge) for _ in range(30)][-10:]), "a sensor of large clouds keeps its memory"
