"""What `make lint` does not look at: sizes of files, and types on everything public."""

import ast
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("pvd_core", "training", "pvd_ros", "pvd_cli")
MOST_LINES, MEDIAN_LINES = 400, 120


def sources(*folders):
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def num_lines(path):
    return path.read_text(encoding="utf-8").count("\n")


def test_files_are_small():
    lengths = {str(path.relative_to(ROOT)): num_lines(path) for path in sources(*PACKAGES, "scripts", "launch", "test")}
    assert {name: length for name, length in lengths.items() if length > MOST_LINES} == {}
    assert statistics.median(lengths.values()) < MEDIAN_LINES


def public_functions(tree):
    """(name, definition, whether its first argument is `self` or `cls`) of public functions and methods."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for item in node.body:
                if isinstance(item, ast.FunctionDef) and (not item.name.startswith("_") or item.name == "__init__"):
                    yield f"{node.name}.{item.name}", item, not is_static(item)
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node.name, node, False


def is_static(function):
    return any(isinstance(name, ast.Name) and name.id == "staticmethod" for name in function.decorator_list)


def bare_parts(function, has_self):
    """What of a function's signature has no type."""
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args][has_self:] + arguments.kwonlyargs
    named += [each for each in (arguments.vararg, arguments.kwarg) if each is not None]
    bare = [each.arg for each in named if each.annotation is None]
    # mypy takes an __init__ with annotated arguments for one that returns None.
    if function.returns is None and not (function.name == "__init__" and named):
        bare.append("return")
    return bare


@pytest.mark.parametrize("package", PACKAGES)
def test_public_functions_have_types(package):
    found, num_seen = {}, 0
    for path in sources(package):
        for name, function, has_self in public_functions(ast.parse(path.read_text(encoding="utf-8"))):
            num_seen += 1
            # The bodies of Triton kernels are no Python: their arguments are what Triton makes of them.
            if any("triton.jit" in ast.unparse(each) for each in function.decorator_list):
                continue
            if bare := bare_parts(function, has_self):
                found[f"{path.relative_to(ROOT)}: {name}"] = bare
    assert num_seen > 50
    assert found == {}
