"""Imports run one way: docs/architecture.md has the picture, this test holds it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("pvd_core", "training", "pvd_ros", "pvd_cli")

# What each room may import besides itself. A room is a folder or a file of the folder named first.
ROOMS = {
    "": {
        "pvd_core": "",
        "training": "pvd_core",
        "pvd_ros": "pvd_core",
        "pvd_cli": "pvd_core training pvd_ros",
    },
    "pvd_core": {
        "borders": "",
        "runtime": "borders",
        "taxonomy": "borders",
        "clouds": "borders",
        "voxels": "borders runtime native",
        "native": "borders",
        "sparse": "borders runtime native",
        "models": "borders runtime native taxonomy voxels sparse",
        "losses": "borders runtime taxonomy voxels models",
        "weights": "borders taxonomy clouds voxels models",
        "programs": "clouds runtime voxels sparse models",
        "segmenter": "borders runtime taxonomy clouds voxels sparse models weights programs",
        "committee": "borders clouds models weights programs segmenter",
    },
    "training": {
        "simulate": "",
        "data": "simulate",
        "distil": "data simulate",
        "judge": "data simulate",
        "run": "judge distil data simulate",
        "ablation": "run judge distil data simulate",
        "realism": "data simulate",
        "adapt": "judge data simulate",
    },
    "pvd_ros": {
        "codec": "",
        "report": "",
        "middleware": "",
        "poses": "codec",
        "labeller": "codec poses",
        "bags": "labeller codec poses report",
        "fleet": "bags poses",
        "export": "bags codec poses",
        "node": "labeller codec poses report middleware",
        "play": "bags codec middleware",
        "record": "bags codec middleware",
    },
    "training.simulate": {
        "sensor": "",
        "shapes": "sensor",
        "street": "shapes sensor",
        "drive": "street shapes sensor",
        "folder": "sensor",
        "parallel": "",
        "sequence": "drive folder parallel",
        "dataset": "sequence folder parallel street sensor",
    },
}


def modules():
    """{dotted name: path} of all modules of the packages."""
    paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


def imports_of(path):
    """Dotted names of all that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(name, house):
    """The room of `house` that a dotted name lies in, or None: outside, or the house's own front door."""
    prefix = f"{house}." if house else ""
    return name.removeprefix(prefix).split(".")[0] if name.startswith(prefix) else None


def arrows(house):
    """(importing module, its room, imported name, its room) of imports from one room of `house` into another."""
    rooms = ROOMS[house]
    for module, path in modules().items():
        here = room_of(module, house)
        if here not in rooms:
            continue
        for name in imports_of(path):
            there = room_of(name, house)
            if there in rooms and there != here:
                yield module, here, name, there


@pytest.mark.parametrize("house", ROOMS)
def test_no_import_runs_upwards(house):
    found = list(arrows(house))
    assert found, "nothing was looked at"
    wrong = [
        f"{module} imports {name}" for module, here, name, there in found if there not in ROOMS[house][here].split()
    ]
    assert wrong == []


@pytest.mark.parametrize("house", [house for house in ROOMS if house])
def test_every_room_has_its_place_in_the_order(house):
    folder = ROOT / house.replace(".", "/")
    files = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    folders = {path.name for path in folder.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert files | folders == set(ROOMS[house])


def test_the_order_has_no_circle():
    for rooms in ROOMS.values():
        seen = set()
        for room, below in rooms.items():
            seen.add(room)
            unknown = set(below.split()) - set(rooms)
            assert not unknown
            for other in below.split():
                assert room not in rooms[other].split(), f"{room} and {other} import each other"
