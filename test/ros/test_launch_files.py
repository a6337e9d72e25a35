"""Launch file, RViz and node configuration agree with the node. launch itself is no wheel: see the stand-ins below."""

import importlib.util
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import yaml
from ros_clouds import xyzi_cloud

from pvd_core.borders.errors import UserError
from pvd_core.taxonomy import TAXONOMIES
from pvd_ros.bags import BagWriter
from pvd_ros.middleware import transport
from pvd_ros.middleware.params_file import check_params_files
from pvd_ros.middleware.transport import (
    CYCLONE_VARIABLE,
    PROFILE_VARIABLES,
    fastdds_environment,
    remedy_for_losses,
    shipped_settings,
)
from pvd_ros.node.parameters import OUTPUTS, SPECS

PARTS = "pvd_ros.middleware.launch_parts"


SEGMENT, VIEW_BAG, SEVERAL, SLAM = "segment", "view_bag", "several", "slam"
SETTINGS = {*PROFILE_VARIABLES, CYCLONE_VARIABLE}


class Recorded(SimpleNamespace):
    """Keeps what a launch action was built with, where the real package would start processes."""

    def __init__(self, *arguments, **options):
        super().__init__(arguments=arguments, options=options)

    def perform(self, context):
        return context.launch_configurations[self.arguments[0]]


@pytest.fixture
def launch_file(project_root, monkeypatch):
    """A function that imports a launch file by name, over stand-ins for the launch classes it uses."""
    actions = ("DeclareLaunchArgument", "ExecuteProcess", "OpaqueFunction", "SetEnvironmentVariable", "Shutdown")
    classes = {
        "launch": ("LaunchDescription",),
        "launch.actions": actions,
        "launch.substitutions": ("LaunchConfiguration",),
        "launch_ros": (),
        "launch_ros.actions": ("Node",),
    }
    for name, members in classes.items():
        module = ModuleType(name)
        for member in members:
            setattr(module, member, type(member, (Recorded,), {}))
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, PARTS, raising=False)
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)

    def imported(name):
        spec = importlib.util.spec_from_file_location(f"{name}_launch", project_root / f"launch/{name}.launch.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    yield imported
    sys.modules.pop(PARTS, None)


@pytest.fixture
def has_rviz(tmp_path, monkeypatch):
    """The files by which ROS finds a package rviz2."""
    index = tmp_path / "share/ament_index/resource_index/packages"
    index.mkdir(parents=True)
    (index / "rviz2").touch()
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))


@pytest.fixture
def bag(tmp_path):
    with BagWriter(tmp_path / "drive") as writer:
        writer.write_cloud("/velodyne_points/labelled", xyzi_cloud(np.zeros((4, 4), np.float32)))
    return str(tmp_path / "drive")


@pytest.fixture(autouse=True)
def same_python(tmp_path_factory, monkeypatch, project_root):
    """The python3 of PATH is this one, as in a terminal with the virtual environment active."""
    folder = tmp_path_factory.mktemp("bin")
    (folder / "python3").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (folder / "python3").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(project_root))


def declared_in(launch_file):
    return {
        action.arguments[0]: action.options for action in launch_file.generate_launch_description().arguments[0][:-1]
    }


def actions_of(launch_file, **given):
    """{class name: [actions]} for the given launch arguments, the others at their defaults."""
    opaque = launch_file.generate_launch_description().arguments[0][-1]
    defaults = {name: options["default_value"] for name, options in declared_in(launch_file).items()}
    typed = [f"{name}:={value}" for name, value in given.items()]
    context = SimpleNamespace(launch_configurations=defaults | given, argv=typed)
    actions = {}
    for action in opaque.options["function"](context):
        actions.setdefault(type(action).__name__, []).append(action.options | {"arguments_": action.arguments})
    return actions


def played_by(player):
    from pvd_ros.play import parser

    return parser().parse_args([str(word) for word in player["cmd"][3:]])


def test_the_promised_launch_arguments_exist(launch_file):
    promised = {"topic", "weights", "device", "bag", "rate", "rviz", "params_file", "namespace", "reliability"}
    promised |= {"use_sim_time", "log_level", "respawn", "stay"}
    assert promised <= declared_in(launch_file(SEGMENT)).keys()


def test_by_default_only_the_node_starts_with_settings_for_large_clouds(launch_file):
    actions = actions_of(launch_file(SEGMENT))
    assert set(actions) == {"Node", "SetEnvironmentVariable"}
    assert {action["arguments_"][0] for action in actions["SetEnvironmentVariable"]} == SETTINGS
    (node,) = actions["Node"]
    assert (node["package"], node["executable"], node["name"]) == ("pvd_ros", "segmenter_node", "segmenter")
    params_file, given = node["parameters"]
    assert yaml.safe_load(open(params_file))  # noqa: SIM115 - closed with the test
    assert given == {"points_in": "/velodyne_points"}
    assert not node["respawn"]


def test_given_arguments_reach_node_player_and_rviz(launch_file, has_rviz, bag):
    given = {
        "topic": "/lidar",
        "weights": "w.safetensors",
        "device": "cpu",
        "namespace": "/front",
        "reliability": "reliable",
        "respawn": "true",
        "log_level": "debug",
        "bag": bag,
        "rate": "2.0",
        "rviz": "true",
    }
    actions = actions_of(launch_file(SEGMENT), **given)
    node, rviz = actions["Node"]
    assert node["parameters"][1] == {
        "points_in": "/lidar",
        "weights": "w.safetensors",
        "device": "cpu",
        "input_reliability": "reliable",
    }
    assert (node["namespace"], node["respawn"], node["ros_arguments"]) == ("/front", True, ["--log-level", "debug"])
    assert rviz["executable"] == "rviz2"
    assert ("/segmenter/points", "/front/segmenter/points") in rviz["remappings"]
    (player,) = actions["ExecuteProcess"]
    assert player["name"] == "bag_player"
    chosen = played_by(player)
    assert (str(chosen.bag), chosen.publish_as, chosen.rate, chosen.wait_for_subscribers) == (bag, "/lidar", 2.0, 1)
    assert chosen.reliable


def test_sim_time_is_a_boolean_for_the_node(launch_file):
    (node,) = actions_of(launch_file(SEGMENT), use_sim_time="true")["Node"]
    assert node["parameters"][1]["use_sim_time"] is True


def test_every_process_gets_time_to_report_and_ends_with_launch(launch_file, has_rviz, bag):
    actions = actions_of(launch_file(SEGMENT), bag=bag, rviz="true")
    processes = [*actions["Node"], *actions["ExecuteProcess"]]
    assert len(processes) == 3
    for process in processes:
        assert float(process["sigterm_timeout"].options["default"]) > 5
        assert "--pdeathsig" in process["prefix"][0]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"rviz": "true"}, "there is no rviz2"),
        ({"params_file": "/nowhere.yaml"}, "parameter file /nowhere.yaml: No such file"),
        ({"bag": "/nowhere"}, "there is no file or folder /nowhere"),
        ({"bag": "{folder}"}, "metadata.yaml"),
        ({"bag": "{bag}", "bag_topic": "/radar"}, "no topic /radar"),
        ({"bag": "{bag}", "use_sim_time": "true"}, "use_sim_time needs a /clock"),
        ({"wieghts": "w"}, "unknown launch argument wieghts; did you mean weights?"),
    ],
)
def test_what_would_fail_later_is_refused_before_anything_starts(launch_file, monkeypatch, tmp_path, bag, given, words):
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    given = {name: value.format(folder=tmp_path, bag=bag) for name, value in given.items()}
    with pytest.raises(UserError, match=re.escape(words)):
        actions_of(launch_file(SEGMENT), **given)


def test_a_parameter_file_without_a_section_for_the_node_is_refused(launch_file, tmp_path):
    (tmp_path / "other.yaml").write_text("/other:\n  ros__parameters: {points_in: /lidar}\n")
    with pytest.raises(UserError, match="no section for segmenter: found /other; expected"):
        actions_of(launch_file(SEGMENT), params_file=str(tmp_path / "other.yaml"))


@pytest.mark.parametrize("name", ["/**", "segmenter", "/front/segmenter", "/*/segmenter"])
def test_sections_that_match_the_node_are_accepted(tmp_path, name):
    (tmp_path / "node.yaml").write_text(f"{name}:\n  ros__parameters: {{points_in: /lidar}}\n")
    check_params_files(["--ros-args", "-r", "__node:=segmenter", "--params-file", str(tmp_path / "node.yaml")])


def test_without_the_virtual_environment_launch_says_to_activate_it(launch_file, monkeypatch, tmp_path):
    (tmp_path / "python3").write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')  # -S: no installed packages
    (tmp_path / "python3").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(
        UserError, match=r"has no .*torch: activate the virtual environment .*source .venv/bin/activate"
    ):
        actions_of(launch_file(SEGMENT))


def test_a_labelled_bag_is_shown_with_its_legend_on_the_topics_of_the_view(launch_file, has_rviz, bag, project_root):
    file = launch_file(VIEW_BAG)
    actions = actions_of(file, bag=bag)
    assert tuple(TAXONOMIES) == file.TAXONOMIES
    legend, player = actions["ExecuteProcess"]
    chosen = played_by(player)
    assert (chosen.topic, chosen.publish_as) == ("/velodyne_points/labelled", "/segmenter/points")
    assert chosen.reliable, "config/pvd.rviz listens reliably"
    assert legend["cmd"][2:] == ["pvd_ros.node.legend", "--frame", "velodyne", "--taxonomy", "semantickitti"]
    assert actions["Node"][0]["executable"] == "rviz2"


def test_a_view_without_a_bag_says_so(launch_file):
    with pytest.raises(UserError, match="bag is missing"):
        actions_of(launch_file(VIEW_BAG))


def test_several_sensors_get_a_node_each_in_a_namespace_of_its_own(launch_file):
    sensors = "front=/front/points, rear=/rear/points"
    nodes = actions_of(launch_file(SEVERAL), sensors=sensors, device="cpu")["Node"]
    assert [node["namespace"] for node in nodes] == ["front", "rear"]
    assert [node["parameters"][1] for node in nodes] == [
        {"points_in": "/front/points", "device": "cpu"},
        {"points_in": "/rear/points", "device": "cpu"},
    ]
    assert {node["executable"] for node in nodes} == {"segmenter_node"}
    assert all("--pdeathsig" in node["prefix"][0] for node in nodes)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "sensors is missing: sensors:=front="),
        ({"sensors": "front"}, "sensors has 'front', expected NAME=TOPIC"),
        ({"sensors": "a b=/points"}, "sensors has 'a b=/points', expected NAME=TOPIC"),
        ({"sensors": "front=/a,front=/b"}, "sensors has front twice"),
        ({"sensors": "front=/a", "params_file": "/nowhere.yaml"}, "parameter file /nowhere.yaml: No such file"),
        ({"sensors": "front=/a", "sensor": "b"}, "unknown launch argument sensor; did you mean sensors?"),
    ],
)
def test_sensors_that_are_none_start_no_node(launch_file, given, words):
    with pytest.raises(UserError, match=re.escape(words)):
        actions_of(launch_file(SEVERAL), **given)


def test_kiss_icp_gets_the_cloud_without_movers(launch_file, tmp_path, monkeypatch):
    index = tmp_path / "share/ament_index/resource_index/packages"
    index.mkdir(parents=True)
    (index / "kiss_icp").touch()
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    segmenter, odometry = actions_of(launch_file(SLAM), topic="/lidar", base_frame="base_link")["Node"]
    assert segmenter["parameters"][1] == {"points_in": "/lidar"}
    assert (odometry["package"], odometry["executable"]) == ("kiss_icp", "kiss_icp_node")
    assert odometry["remappings"] == [("pointcloud_topic", "/segmenter/static")]
    assert odometry["parameters"] == [{"base_frame": "base_link"}]
    (_, other) = actions_of(launch_file(SLAM), kiss_icp_topic="/segmenter/obstacles")["Node"]
    assert other["remappings"] == [("pointcloud_topic", "/segmenter/obstacles")]


def test_without_kiss_icp_nothing_starts(launch_file, tmp_path, monkeypatch):
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"there is no kiss_icp: build https://github\.com/PRBonn/kiss-icp"):
        actions_of(launch_file(SLAM))


def test_the_foxglove_layout_shows_topics_that_the_node_publishes(project_root):
    layout = json.loads((project_root / "config/foxglove.json").read_text())
    topics = layout["configById"]["3D!pvd"]["topics"]
    assert topics["/segmenter/points"]["colorField"] == "rgb"
    published = {f"/segmenter/{name}" for name in (*OUTPUTS, "legend", "latency_window", "classes")}
    assert {*topics, *(path.split(".")[0] for path in _plotted(layout))} <= published
    panels = {layout["layout"]["first"], *(layout["layout"]["second"][side] for side in ("first", "second"))}
    assert panels == set(layout["configById"])


def _plotted(layout):
    return [path["value"] for path in layout["configById"]["Plot!latency"]["paths"]]


def test_settings_that_the_user_chose_stay(launch_file, monkeypatch):
    monkeypatch.setenv(PROFILE_VARIABLES[0], "/my/profile.xml")
    monkeypatch.setenv(CYCLONE_VARIABLE, "file:///my/cyclone.xml")
    assert "SetEnvironmentVariable" not in actions_of(launch_file(SEGMENT))


def test_every_parameter_the_launch_file_sets_exists(launch_file):
    node = actions_of(launch_file(SEGMENT), weights="w", device="cpu", reliability="reliable")["Node"][0]
    assert node["parameters"][1].keys() <= {spec.name for spec in SPECS}


def test_what_launch_files_import_needs_neither_torch_nor_rclpy_nor_numpy(project_root):
    """ros2 launch reads them with the system's Python, which may have none of them."""
    modules = "launch_checks, packages, params_file, transport"
    code = f"import sys; from pvd_ros.middleware import {modules}; print([n for n in ('torch', 'rclpy', 'numpy', "
    code += "'rosbags') if n in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], cwd=project_root, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_node_yaml_holds_every_parameter_with_its_default(project_root):
    text = (project_root / "config/node.yaml").read_text()
    assert yaml.safe_load(text)["/**"]["ros__parameters"] == {spec.name: spec.default for spec in SPECS}
    changeable = text.split("may be changed while")[1]
    for spec in SPECS:
        assert (f"    {spec.name}:" in changeable) == (not spec.read_only)


def test_rviz_shows_the_nodes_topics_in_class_colours(project_root):
    manager = yaml.safe_load((project_root / "config/pvd.rviz").read_text())["Visualization Manager"]
    assert manager["Global Options"]["Fixed Frame"] == "velodyne"
    displays = {display["Class"].split("/")[1]: display for display in manager["Displays"]}
    assert displays["PointCloud2"]["Topic"]["Value"] == "/segmenter/points"
    assert displays["PointCloud2"]["Color Transformer"] == "RGB8"
    assert displays["MarkerArray"]["Topic"]["Value"] == "/segmenter/legend"
    assert displays["MarkerArray"]["Topic"]["Durability Policy"] == "Transient Local"


@pytest.mark.parametrize(("name", "megabytes"), [("fastdds.xml", 64), ("fastdds_small.xml", 12)])
def test_the_fastdds_profiles_have_shared_memory_for_several_clouds_and_keep_the_network(project_root, name, megabytes):
    root = ElementTree.parse(project_root / "config" / name).getroot()
    texts = {element.tag.split("}")[1]: element.text for element in root.iter() if element.text}
    assert texts["segment_size"] == str(megabytes * 2**20)
    types = [element.text for element in root.iter() if element.tag.endswith("}type")]
    assert types == ["SHM", "UDPv4"]


@pytest.mark.parametrize(
    ("free_mb", "profile", "warns"), [(8000, "fastdds.xml", False), (64, "fastdds_small.xml", False), (3, None, True)]
)
def test_the_profile_fits_the_shared_memory_that_is_free(monkeypatch, capsys, free_mb, profile, warns):
    monkeypatch.setattr(transport.shutil, "disk_usage", lambda path: SimpleNamespace(free=free_mb * 2**20))
    assert {Path(value).name for value in fastdds_environment().values()} == {profile or "fastdds_small.xml"}
    assert ("--shm-size" in capsys.readouterr().err) == warns


@pytest.mark.parametrize(
    ("middleware", "words"),
    [
        ("rmw_fastrtps_cpp", "FASTRTPS_DEFAULT_PROFILES_FILE="),
        ("rmw_cyclonedds_cpp", "CYCLONEDDS_URI=file://"),
        ("rmw_zenoh_cpp", "rmw_zenoh_cpp"),
    ],
)
def test_the_remedy_for_losses_names_what_this_middleware_reads(middleware, words):
    remedy = remedy_for_losses(middleware)
    assert words in remedy
    assert "input_reliability" in remedy
    assert "input_depth" in remedy


def test_a_receive_buffer_too_small_for_cyclone_is_said_with_the_command_that_raises_it(monkeypatch, tmp_path, capsys):
    (tmp_path / "rmem_max").write_text("212992\n")
    monkeypatch.setattr(transport, "RECEIVE_LIMIT", tmp_path / "rmem_max")
    monkeypatch.setenv("RMW_IMPLEMENTATION", "rmw_cyclonedds_cpp")
    shipped_settings()
    assert "sudo sysctl -w net.core.rmem_max=" in capsys.readouterr().err
    (tmp_path / "rmem_max").write_text("16777216\n")
    shipped_settings()
    assert capsys.readouterr().err == ""


def test_the_cyclone_settings_ask_for_a_large_receive_buffer_and_start_where_the_kernel_allows_less(project_root):
    root = ElementTree.parse(project_root / "config/cyclonedds.xml").getroot()
    (buffer,) = root.iter("{https://cdds.io/config}SocketReceiveBufferSize")
    assert buffer.attrib == {"max": "16MB"}, "with `min` programs end where net.core.rmem_max is smaller"
