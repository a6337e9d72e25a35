"""package.xml asks for what the program imports from ROS, and for nothing else."""

import ast
import sys
import xml.etree.ElementTree as ElementTree

OWN = {"pvd_core", "training", "pvd_ros", "pvd_cli"}
# From pip into the virtual environment; package.xml has no keys for them.
OF_PIP = {"torch", "rosbags", "mcap", "lz4", "ray", "pyarrow", "kiss_icp"}
DEBIAN = {"numpy": "python3-numpy", "yaml": "python3-yaml"}


def imported_by(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.split(".")[0]


def test_dependencies_in_package_xml_are_those_that_are_imported(project_root):
    files = [*(project_root / "pvd_ros").rglob("*.py"), *(project_root / "launch").glob("*.py")]
    imported = {name for path in files for name in imported_by(path)} - set(sys.stdlib_module_names) - OWN - OF_PIP
    root = ElementTree.parse(project_root / "package.xml").getroot()
    declared = {element.text for element in root.iter("exec_depend")}
    assert declared == {DEBIAN.get(name, name) for name in imported}
