"""Weights know how bright the scans were that they learned from."""

import json

import numpy as np
import pytest
from tiny_dataset import TINY_MODEL, random_scan, write_scan

from pvd_cli.main import run
from pvd_core.clouds.intensity import USUAL_95TH
from pvd_core.weights import expected_cloud, read_facts


@pytest.mark.parametrize("level", [0.1, 0])
def test_trained_weights_tell_the_intensities_that_they_know(tmp_path, level):
    for sequence in ("00", "08"):
        for frame in range(2):
            points, labels = random_scan(np.random.default_rng(frame))
            points[:, 3] = np.random.default_rng(frame).uniform(0, level / 0.95, len(points))
            write_scan(tmp_path / "data", sequence, f"{frame:06d}", points, labels)
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({"model": TINY_MODEL, "max_steps": 1, "device": "cpu"}))
    assert run(["train", str(tmp_path / "data"), "--config", str(config), "--out", str(tmp_path / "run")]) == 0
    found = expected_cloud(read_facts(tmp_path / "run")).intensity_95th
    assert found == pytest.approx(level or USUAL_95TH, rel=0.05)
