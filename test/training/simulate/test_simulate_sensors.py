"""The simulated sensors point where the real ones do."""

import numpy as np
import pytest

from pvd_core.borders.errors import UserError
from training.simulate.sensor.sensors import HDL64E, SENSORS, VLP16, sensor_named


def test_hdl64e_has_64_beams_the_upper_block_finer_than_the_lower():
    elevations = np.array(HDL64E.elevations_deg)
    steps = -np.diff(elevations)
    assert len(elevations) == 64
    assert (steps > 0).all()
    np.testing.assert_allclose(steps[:31], 0.345, atol=0.01)
    np.testing.assert_allclose(steps[32:], 0.51, atol=0.01)
    assert 1.5 <= elevations[0] <= 2.5
    assert -25.2 <= elevations[-1] <= -24.5


@pytest.mark.parametrize("sensor", SENSORS.values(), ids=lambda sensor: sensor.name)
def test_directions_are_unit_vectors_that_turn_counter_clockwise(sensor):
    directions = sensor.directions()
    assert directions.shape == (sensor.num_rings, sensor.num_azimuths, 3)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=2), 1, atol=1e-12)
    azimuths = np.arctan2(directions[0, :, 1], directions[0, :, 0]) % (2 * np.pi)
    assert (np.diff(azimuths) > 0).all()


def test_the_carrier_hides_only_steep_beams():
    free_share = HDL64E.sees().mean(axis=1)
    assert (free_share[:30] == 1).all()
    assert 0.5 < free_share[-1] < 0.8
    assert VLP16.sees().all()


def test_unknown_sensor_is_refused_with_the_closest_and_the_known_ones():
    with pytest.raises(
        UserError, match=r"unknown sensor 'HDL-64'; did you mean 'hdl64e'\? known sensors are hdl64e, os1"
    ):
        sensor_named("HDL-64")
    with pytest.raises(UserError, match=r"unknown sensor 'camera'; known sensors are"):
        sensor_named("camera")


@pytest.mark.parametrize("sensor", SENSORS.values(), ids=lambda sensor: sensor.name)
def test_beams_point_downwards_ring_after_ring_and_the_forward_view_is_the_middle_of_the_sweep(sensor):
    assert (np.diff(sensor.elevations_deg) < 0).all()
    assert len(sensor.origins_m) in (0, sensor.num_rings)
    times = sensor.column_times
    assert abs(times).max() <= 0.5
    assert abs(times[0]) < 2e-3
    assert times[1] < times[0]  # clockwise: what is left of forward was measured before
