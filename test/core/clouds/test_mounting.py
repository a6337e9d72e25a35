"""A mounting brings clouds to the frame that networks know, and labels come out as in that frame."""

import numpy as np
import pytest

from pvd_core import default_weights
from pvd_core.borders.errors import UserError
from pvd_core.clouds import read_cloud
from pvd_core.clouds.judge import MOUNTING_SETTINGS, judge, options
from pvd_core.clouds.mounting import NETWORK_HEIGHT_M, Mounting
from pvd_core.segmenter import Segmenter

MOUNTINGS = {
    "turned by 90": Mounting(yaw=90),
    "turned by -137": Mounting(yaw=-137),
    "nose down by 10": Mounting(pitch=10),
    "leaning by 10": Mounting(roll=-10),
    "lowered by 0.9 m": Mounting(height=NETWORK_HEIGHT_M - 0.9),
    "in a ground frame": Mounting(height=0),
    "all at once": Mounting(2.9, roll=4, pitch=-9, yaw=60),
    "upside down": Mounting(roll=180),
}


def as_mounted(points, mounting):
    """The cloud that the sensor would give if it were mounted so; `points` in the network's frame."""
    result = points.copy()
    result[:, 2] -= np.float32(mounting.height - NETWORK_HEIGHT_M)
    result[:, :3] = result[:, :3] @ mounting.rotation().astype(np.float32)
    return result


@pytest.fixture(scope="module")
def scan(shared_data):
    return read_cloud(shared_data / "semantickitti/sequences/08/velodyne/000000.bin")


@pytest.fixture(scope="module")
def segmenter():
    return Segmenter.from_weights(default_weights(), device="cpu")


@pytest.fixture(scope="module")
def usual_labels(scan, segmenter):
    return segmenter.segment(scan).labels


def test_a_usual_mounting_leaves_points_untouched(scan):
    assert Mounting().apply(scan) is scan


@pytest.mark.parametrize("name", MOUNTINGS)
def test_a_real_scan_is_labelled_as_in_the_usual_frame_if_its_mounting_is_told(name, scan, segmenter, usual_labels):
    labels = segmenter.segment(MOUNTINGS[name].apply(as_mounted(scan, MOUNTINGS[name]))).labels
    assert (labels == usual_labels).mean() >= 0.99


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("nose down by 10", {"tilt"}),
        ("leaning by 10", {"tilt"}),
        ("lowered by 0.9 m", {"height"}),
        ("in a ground frame", {"height"}),
        ("all at once", {"tilt", "height"}),
        ("upside down", {"axes"}),
    ],
)
def test_a_mounting_that_was_not_told_is_remarked_on_and_found(name, kinds, scan):
    mounting, found = MOUNTINGS[name], {}
    remarks = judge(as_mounted(scan, mounting))
    assert {remark.kind for remark in remarks} == kinds
    assert [remark.spoils_labels for remark in remarks] == [remark.kind == "axes" for remark in remarks]
    for remark in remarks:
        found |= {setting: float(value) for setting, value in remark.settings.items()}
    # Where the ground is cannot tell the yaw; the street itself slopes by up to 3 degrees.
    for setting, value in found.items():
        true = getattr(mounting, setting.removeprefix("mounting_"))
        assert value == pytest.approx(true, abs=0.15 if setting == "mounting_height" else 3.5)
    told = {setting.removeprefix("mounting_"): value for setting, value in found.items()}
    assert judge(as_mounted(scan, mounting), mounting=Mounting(**told, yaw=mounting.yaw)) == []


def test_advice_counts_from_the_cloud_whatever_mounting_was_set(scan):
    (remark,) = judge(scan, mounting=Mounting(height=0.6))
    assert "expected 0.6 m" in remark.text
    assert float(remark.settings["mounting_height"]) == pytest.approx(NETWORK_HEIGHT_M, abs=0.15)
    (remark,) = judge(scan, mounting=Mounting(pitch=12, yaw=45))
    assert "as the mounting is set" in remark.text
    assert float(remark.settings["mounting_pitch"]) == pytest.approx(0, abs=3)


def test_angles_turn_as_in_a_urdf():
    # The sensor's axes as the level frame sees them.
    forward, left, up = np.eye(3)
    np.testing.assert_allclose(Mounting(yaw=90).rotation() @ forward, left, atol=1e-12)
    np.testing.assert_allclose(Mounting(pitch=90).rotation() @ forward, -up, atol=1e-12)
    np.testing.assert_allclose(Mounting(roll=90).rotation() @ left, up, atol=1e-12)
    both = Mounting(roll=90, yaw=90).rotation()
    np.testing.assert_allclose(both, Mounting(yaw=90).rotation() @ Mounting(roll=90).rotation(), atol=1e-12)


def test_points_that_are_no_measurement_stay_so():
    odd = [[0, 0, 0, 1], [np.nan, 1, 1, 1], [1, np.inf, 1, 1], [12_000, 0, 0, 1], [1, 2, 3, np.nan]]
    points = np.array(odd, np.float32)
    moved = Mounting(0.5, 10, 20, 45).apply(points)
    np.testing.assert_array_equal(moved[:4], points[:4])
    assert np.isfinite(moved[4, :3]).all()
    assert np.isnan(moved[4, 3])
    np.testing.assert_array_equal(points, np.array(odd, np.float32))


@pytest.mark.parametrize("wrong", [{"height": float("nan")}, {"roll": 400}, {"yaw": float("inf")}])
def test_values_beyond_their_limits_are_refused(wrong):
    with pytest.raises(UserError, match=f"mounting {next(iter(wrong))}"):
        Mounting(**wrong)


def test_advice_names_settings_as_the_command_spells_them(scan):
    (remark,) = judge(as_mounted(scan, Mounting(pitch=10)))
    assert ": set --mounting-roll" in options(*MOUNTING_SETTINGS).sentence(remark)
    assert options("intensity_scale").sentence(remark).endswith("level the clouds where they are made")
