"""Scans of several sensors are told from those of one."""

import numpy as np
import pytest

from pvd_core.borders.errors import UserError
from training.adapt.same_sensor import check_one_sensor, facts_of, remarks_on


def scan(name, num_points=1000, scale=1.0):
    points = np.random.default_rng(num_points).uniform(1, 20, (num_points, 4)).astype(np.float32)
    points[:, 3] = scale * np.linspace(0, 1, num_points)
    return facts_of(name, points)


def test_scans_of_one_sensor_pass():
    check_one_sensor([scan("a"), scan("b", 1300), scan("c", 800, 1.5)])


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (scan("other", 5000), "other has 5,000 measured points, the scans in their middle 1,000"),
        (scan("other", scale=255), "other has 242.2 as the 95th percentile of intensity"),
        (scan("other", scale=0), "other has no intensity, a has"),
    ],
)
def test_a_scan_of_another_sensor_or_scale_is_named(other, what):
    with pytest.raises(UserError, match=what):
        check_one_sensor([scan("a"), other, scan("b"), scan("c")])


def test_a_scan_without_a_measured_point_is_named():
    with pytest.raises(UserError, match="empty has no measured point"):
        check_one_sensor([scan("a"), facts_of("empty", np.zeros((10, 4), np.float32))])


def test_few_scans_are_remarked_on():
    assert "3 scans show little" in remarks_on([scan(str(n)) for n in range(3)])[0]
    assert remarks_on([scan(str(n)) for n in range(16)]) == []
