"""The number of threads is measured where the user leaves it open."""

import pytest
import torch
from ros_weights import tiny_weights

from pvd_core.segmenter import Segmenter
from pvd_ros.node.threads import choose_threads, fewest_that_are_fast, measured


@pytest.fixture
def segmenter(tmp_path):
    before = torch.get_num_threads()
    yield Segmenter.from_weights(tiny_weights(tmp_path), "cpu")
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("times_ms", "chosen"),
    [({1: 100.0, 2: 60.0, 4: 58.0}, 2), ({1: 100.0, 2: 400.0}, 1), ({1: 104.0, 2: 100.0}, 1), ({1: 90.0, 8: 20.0}, 8)],
)
def test_the_fewest_threads_that_are_nearly_the_fastest_are_taken(times_ms, chosen):
    assert fewest_that_are_fast(times_ms) == chosen


def test_each_number_of_threads_is_measured_and_the_choice_is_said_with_its_figures(segmenter):
    assert list(measured(segmenter, [1, 2, 3])) == [1, 2, 3]
    said = choose_threads(segmenter, 0, 2)
    assert said.startswith(f"num_threads {torch.get_num_threads()} (")
    assert "1: " in said
    assert "2: " in said


def test_a_number_that_is_given_is_taken_unmeasured(segmenter):
    assert choose_threads(segmenter, 3, 2) == "num_threads is 3"
    assert torch.get_num_threads() == 3


def test_where_there_is_one_core_nothing_is_measured(segmenter):
    assert choose_threads(segmenter, 0, 1) == "1 thread: there is one core to work on"
