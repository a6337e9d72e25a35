"""Thousands of malformed clouds through the node's own worker, with sound ones between them."""

import random
from collections import Counter

import numpy as np
import pytest
from ros_clouds import damaged_cloud, slow_column, xyzi_cloud
from ros_weights import tiny_weights
from test_node_parts import Bench, points_of

from pvd_core.segmenter import Segmenter
from pvd_ros.codec import MalformedCloudError, decode, stamp_of

EVERY = 50


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    return Segmenter.from_weights(tiny_weights(tmp_path_factory.mktemp("weights")), device="cpu")


def run_through(segmenter, count):
    generator, bench, expected = random.Random(2026), Bench(segmenter), Counter()
    sound = xyzi_cloud(points_of(4), stamp_ns=5)
    labels = segmenter.segment(points_of(4)).labels
    num_sound = 0
    for number in range(count):
        cloud = damaged_cloud(generator)
        try:
            decode(cloud)
            num_sound += 1
        except MalformedCloudError as error:
            expected[error.reason] += 1
        bench.do(cloud)
        if number % EVERY == 0:
            bench.do(sound)
            num_sound += 1
            np.testing.assert_array_equal(slow_column(bench.published[-1], "label"), labels)
            assert stamp_of(bench.published[-1]) == 5
            for output in bench.published:
                assert len(output.data) == output.height * output.width * output.point_step
            bench.published.clear()
    bench.worker.stop()
    assert bench.counters.rejected == expected, "each is counted under its reason, and nothing failed inside"
    assert bench.counters.labelled == num_sound
    assert len(expected) >= 8


def test_a_thousand_hostile_clouds_are_counted_by_reason_and_sound_ones_between_labelled_right(segmenter):
    run_through(segmenter, 1000)


@pytest.mark.slow
def test_ten_thousand_hostile_clouds_are_counted_by_reason_and_sound_ones_between_labelled_right(segmenter):
    run_through(segmenter, 10_000)
