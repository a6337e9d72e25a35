"""The simulated sensors point where the real ones do."""

import numpy as np
import pytest

from pvd_core.errors import UserError
from training.simulate.sensors import HDL64E, SENSORS, VLP16, sensor_named


def test_hdl64e_has_64_beams_the_upper_block_finer_than_the_lower():
    elevations = np.array(HDL64E.elevations_deg)
    steps = -np.diff(elevations)
    assert len(elevations) == 64
    assert (steps > 0).all()
    np.testing.assert_allclose(steps[:31], 0.33, atol=0.01)
    np.testing.assert_allclose(steps[32:], 0.495, atol=0.01)
    assert 2.0 <= elevations[0] <= 2.5
    assert -24.8 <= elevations[-1] <= -23.5


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


def test_unknown_sensor_is_refused_with_the_known_ones():
    with pytest.raises(UserError, match=r"hdl32.*hdl64e, vlp16"):
        sensor_named("hdl32")
