"""The script that draws real scans of several sensors."""

import importlib.util
import sys

import numpy as np
import pytest

from pvd_core.models import build_model
from pvd_core.weights import save_weights

pytest.importorskip("matplotlib", reason="pictures need matplotlib")


@pytest.fixture(scope="module")
def script(project_root):
    spec = importlib.util.spec_from_file_location("draw_sensors", project_root / "scripts" / "draw_sensors.py")
    module = sys.modules["draw_sensors"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["draw_sensors"]


def test_scan_is_turned_forwards_and_its_ground_lies_as_in_training(script):
    x, y = np.random.default_rng(0).uniform(-20, 20, (2, 4000))
    ground = np.stack([x, y, np.full(4000, -0.4), np.zeros(4000)], axis=1).astype(np.float32)
    ahead_along_y, no_return = (0, 10, 1, 0.5), (0, 0, 0, 0)
    points = np.concatenate([ground, np.array([ahead_along_y, no_return], np.float32)])

    placed = script._as_trained(points, np.radians(-90))

    np.testing.assert_allclose(placed[:-2, 2], -1.73, atol=1e-5)
    np.testing.assert_allclose(placed[-2], (10, 0, 1 - 1.33, 0.5), atol=1e-5)
    assert (placed[-1] == 0).all()


def test_every_scan_becomes_a_picture(script, shared_data, tmp_path):
    settings = {"width": 4, "num_point_features": 16, "point_mlp_widths": (16,), "grid": {"shape": (48, 36, 8)}}
    save_weights(tmp_path / "tiny.safetensors", build_model(settings))

    script.main([str(shared_data), "--weights", str(tmp_path / "tiny.safetensors"), "--out", str(tmp_path / "out")])

    assert {path.name for path in (tmp_path / "out").iterdir()} == {f"{scan.name}.png" for scan in script._SCANS}
