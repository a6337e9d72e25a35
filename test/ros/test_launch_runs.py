"""The launch file under the real launch, where a ROS 2 is sourced: what runs, what ends, and with which exit code."""

import os
import shutil
import signal
import sys

import numpy as np
import pytest
from ros_clouds import xyzi_cloud
from ros_processes import ROOT, graph, wait_until
from ros_weights import tiny_weights

pytest.importorskip("rclpy", reason="needs rclpy: pip install 'pvd_ros[ros]' or source a ROS 2")
pytest.importorskip("launch_ros", reason="launch and launch_ros are in ROS 2 alone")

from pvd_ros.bags import BagWriter

RUN = """
import sys
import launch
from launch.launch_description_sources import PythonLaunchDescriptionSource
path, *typed = sys.argv[1:]
service = launch.LaunchService(argv=typed)
source = PythonLaunchDescriptionSource(path)
given = [word.split(":=", 1) for word in typed]
service.include_launch_description(
    launch.LaunchDescription([launch.actions.IncludeLaunchDescription(source, launch_arguments=given)])
)
sys.exit(service.run())
"""


@pytest.fixture
def ros(tmp_path):
    """A graph whose processes find this source tree as the installed package pvd_ros."""
    prefix = tmp_path / "prefix"
    (prefix / "share/ament_index/resource_index/packages").mkdir(parents=True)
    (prefix / "share/ament_index/resource_index/packages/pvd_ros").touch()
    (prefix / "lib/pvd_ros").mkdir(parents=True)
    script = prefix / "lib/pvd_ros/segmenter_node"
    script.write_text(f"#!{sys.executable}\nimport sys\nfrom pvd_ros.node import main\nsys.exit(main())\n")
    script.chmod(0o755)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (tmp_path / "bin/python3").chmod(0o755)
    with graph(tmp_path) as found:
        found.environment |= {
            "AMENT_PREFIX_PATH": f"{prefix}:{os.environ.get('AMENT_PREFIX_PATH', '')}",
            "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}",
            "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        }
        yield found


def launch(ros, *arguments, ready=""):
    (ros.folder / "run_launch.py").write_text(RUN)
    weights = f"weights:={tiny_weights(ros.folder)}"
    command = [ROOT / "launch/segment.launch.py", weights, "device:=cpu", *arguments]
    return ros.start_script(ros.folder / "run_launch.py", *command, ready=ready)


def has_ended(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def pid_of_node(launched):
    return int(launched.text().split("[segmenter_node-1]: process started with pid [")[1].split("]")[0])


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv of util-linux")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_node_does_not_outlive_launch(ros, number):
    launched = launch(ros, ready="labelling")
    node = pid_of_node(launched)
    assert not has_ended(node)
    launched.stop(number)
    wait_until(lambda: has_ended(node))


def test_launch_ends_with_the_bag_and_the_node_reports(ros):
    with BagWriter(ros.folder / "drive") as bag:
        for index in range(3):
            bag.write_cloud("/lidar", xyzi_cloud(np.ones((9, 4), np.float32) * index), index * 100_000_000)
    launched = launch(ros, f"bag:={ros.folder / 'drive'}", "reliability:=reliable", "namespace:=front")
    assert launched.wait() == 0, launched.text()
    assert "[bag_player-2] played 3 clouds" in launched.text()
    assert "[front.segmenter]: clouds: received 3" in launched.text()


def test_launch_fails_with_the_node_and_shows_its_message(ros):
    launched = launch(ros, "device:=tpu")
    assert launched.wait() == 1
    assert "device 'tpu': expected auto, cpu, cuda or cuda:N" in launched.text()


def test_what_is_refused_starts_no_process(ros):
    launched = launch(ros, "params_file:=/nowhere.yaml")
    assert launched.wait() == 1
    assert "parameter file /nowhere.yaml: No such file" in launched.text()
    assert "process started" not in launched.text()
