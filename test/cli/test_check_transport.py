"""What the doctor says about settings of the middleware for programs started in this terminal."""

import pytest

from pvd_cli.checks.transport import check_transport
from pvd_ros.middleware import transport

pytest.importorskip("rclpy", reason="needs rclpy: pip install 'pvd_ros[ros]' or source a ROS 2")


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch):
    for name in (*transport.PROFILE_VARIABLES, transport.CYCLONE_VARIABLE, "RMW_IMPLEMENTATION"):
        monkeypatch.delenv(name, raising=False)


def test_the_line_to_copy_names_the_shipped_profile():
    (finding,) = check_transport()
    assert not finding.is_present
    assert finding.remedy.startswith("export FASTRTPS_DEFAULT_PROFILES_FILE=/")
    assert "CYCLONEDDS_URI" not in finding.remedy


def test_for_cyclone_it_is_its_uri(monkeypatch):
    monkeypatch.setenv("RMW_IMPLEMENTATION", "rmw_cyclonedds_cpp")
    monkeypatch.setattr(transport, "RECEIVE_LIMIT", transport.RECEIVE_LIMIT / "absent")
    (finding,) = check_transport()
    assert finding.remedy.startswith("export CYCLONEDDS_URI=file:///")


def test_for_cyclone_a_small_receive_buffer_comes_first(monkeypatch, tmp_path):
    monkeypatch.setenv("RMW_IMPLEMENTATION", "rmw_cyclonedds_cpp")
    (tmp_path / "rmem_max").write_text("212992\n")
    monkeypatch.setattr(transport, "RECEIVE_LIMIT", tmp_path / "rmem_max")
    (finding,) = check_transport()
    assert finding.remedy == "sudo sysctl -w net.core.rmem_max=16777216"


def test_a_chosen_profile_is_shown(monkeypatch):
    monkeypatch.setenv(transport.PROFILE_VARIABLES[0], "/my/profile.xml")
    (finding,) = check_transport()
    assert finding.is_present
    assert "/my/profile.xml" in finding.found
