"""Simulated scans of every sensor are ordinary clouds, also where training changes them most."""

import itertools

import numpy as np
import pytest

from pvd_core.clouds.intensity import certain_factor
from pvd_core.clouds.judge import judge
from pvd_core.clouds.mounting import Mounting
from pvd_core.clouds.stream import CloudStream
from training.data.scan_files import read_points
from training.simulate.dataset import write_dataset
from training.simulate.sensor.sensors import SENSORS

pytest.importorskip("embreex", reason="simulating needs embreex: pip install 'pvd_ros[sim]'")
pytestmark = pytest.mark.slow


def simulated(folder, **settings):
    root = write_dataset(folder, train_sequences=(), valid_sequences=("08",), num_scans=1, seed=11, **settings)
    return read_points(root / "sequences/08/velodyne/000000.bin")


@pytest.mark.parametrize("sensor", SENSORS)
def test_a_simulated_scan_is_not_remarked_on_even_at_the_extremes_of_augmentation(sensor, tmp_path):
    points = simulated(tmp_path / "data", sensor=sensor)
    factor = certain_factor(points[:, 3])
    if SENSORS[sensor].intensity_max < 1:
        assert factor == 1
    else:
        assert np.percentile(points[:, 3] * factor, 95) == pytest.approx(0.4, rel=0.01)
    assert judge(points, factor) == []
    # config/train_simulated.yaml: tilt_degrees, shift_height_metres, scale_z.
    for roll, pitch, height_m, stretch in itertools.product((-2, 2), (-2, 2), (-0.3, 0.3), (0.95, 1.05)):
        changed = points.copy()
        changed[:, :3] = points[:, :3] @ Mounting(roll=roll, pitch=pitch).rotation().T.astype(np.float32)
        changed[:, 2] = (changed[:, 2] + np.float32(height_m)) * np.float32(stretch)
        assert judge(changed, factor) == [], (roll, pitch, height_m, stretch)


def test_a_low_tilted_simulated_sensor_is_found_and_its_mounting_told_is_enough(tmp_path):
    points = simulated(tmp_path / "data", sensor="os1-64", height_m=0.9, tilt_deg=10.0)
    remarks = {remark.kind: remark for remark in judge(points, 1 / 255)}
    assert set(remarks) == {"tilt", "height"}
    assert float(remarks["tilt"].settings["mounting_pitch"]) == pytest.approx(10, abs=1)
    assert float(remarks["height"].settings["mounting_height"]) == pytest.approx(0.9, abs=0.1)
    stream = CloudStream(mounting=Mounting(height=0.9, pitch=10))
    stream.decide(points)
    assert stream.look_at(points) == []
