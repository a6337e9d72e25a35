"""Launch file, RViz and node configuration agree with the node. launch itself is no wheel: see the stand-ins below."""

import ast
import importlib.util
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import yaml

from pvd_ros.middleware import transport
from pvd_ros.middleware.transport import PROFILE_VARIABLES, fastdds_environment
from pvd_ros.node.parameters import SPECS

LAUNCH = "launch/segment.launch.py"


class Recorded(SimpleNamespace):
    """Keeps what a launch action was built with, where the real package would start processes."""

    def __init__(self, *arguments, **options):
        super().__init__(arguments=arguments, options=options)

    def perform(self, context):
        return context[self.arguments[0]]


@pytest.fixture
def launch_file(project_root, monkeypatch):
    """The launch file, imported over stand-ins for the six launch classes it uses."""
    actions = ("DeclareLaunchArgument", "ExecuteProcess", "OpaqueFunction", "SetEnvironmentVariable")
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
    for name in PROFILE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    spec = importlib.util.spec_from_file_location("segment_launch", project_root / LAUNCH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def actions_of(launch_file, **given):
    """{class name: [actions]} for the given launch arguments, the others at their defaults."""
    *declared, opaque = launch_file.generate_launch_description().arguments[0]
    context = {argument.arguments[0]: argument.options["default_value"] for argument in declared}
    assert given.keys() <= context.keys()
    actions = {}
    for action in opaque.options["function"](context | given):
        actions.setdefault(type(action).__name__, []).append(action.options | {"arguments_": action.arguments})
    return actions


def test_the_promised_launch_arguments_exist(launch_file):
    declared = [action.arguments[0] for action in launch_file.generate_launch_description().arguments[0][:-1]]
    assert {"topic", "weights", "device", "bag", "rate", "rviz", "params_file"} <= set(declared)


def test_by_default_only_the_node_starts_with_the_shared_memory_profile(launch_file, project_root):
    actions = actions_of(launch_file)
    assert set(actions) == {"Node", "SetEnvironmentVariable"}
    assert {action["arguments_"][0] for action in actions["SetEnvironmentVariable"]} == set(PROFILE_VARIABLES)
    (node,) = actions["Node"]
    assert (node["package"], node["executable"], node["name"]) == ("pvd_ros", "segmenter_node", "segmenter")
    params_file, given = node["parameters"]
    assert yaml.safe_load(open(params_file))  # noqa: SIM115 - closed with the test
    assert given == {"points_in": "/velodyne_points"}


def test_given_arguments_reach_node_player_and_rviz(launch_file, project_root):
    given = {
        "topic": "/lidar",
        "weights": "w.safetensors",
        "device": "cpu",
        "bag": "drive",
        "rate": "2.0",
        "rviz": "true",
    }
    actions = actions_of(launch_file, **given)
    node, rviz = actions["Node"]
    assert node["parameters"][1] == {"points_in": "/lidar", "weights": "w.safetensors", "device": "cpu"}
    assert rviz["executable"] == "rviz2"
    (player,) = actions["ExecuteProcess"]
    from pvd_ros.play import parser

    chosen = parser().parse_args([str(word) for word in player["cmd"][3:]])
    assert (str(chosen.bag), chosen.publish_as, chosen.rate, chosen.wait_for_subscribers) == ("drive", "/lidar", 2.0, 1)


def test_a_profile_that_the_user_chose_stays(launch_file, monkeypatch):
    monkeypatch.setenv(PROFILE_VARIABLES[0], "/my/profile.xml")
    assert "SetEnvironmentVariable" not in actions_of(launch_file)


def test_every_parameter_the_launch_file_sets_exists(launch_file):
    node = actions_of(launch_file, weights="w", device="cpu")["Node"][0]
    assert node["parameters"][1].keys() <= {spec.name for spec in SPECS}


def test_the_launch_file_imports_neither_torch_nor_rclpy(project_root):
    """ros2 launch reads it with the system's Python, which may have neither."""
    tree = ast.parse((project_root / LAUNCH).read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    own = {"pathlib", "typing", "pvd_ros.middleware.transport"}
    assert imported == own | {"launch", "launch.actions", "launch.substitutions", "launch_ros.actions"}
    import_own = "import sys, pvd_ros.middleware.transport"
    code = f"{import_own}; print([name for name in ('torch', 'rclpy', 'numpy') if name in sys.modules])"
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
