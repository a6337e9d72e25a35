"""What several test files share."""

import itertools
import os
import signal
from pathlib import Path

import pytest

# A thread a process: tests run side by side, and threads that wait for one another are slow on a busy machine. Before
# torch is imported; the programs that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# The few that want several threads: these wait without keeping a core busy.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# A shell starts background jobs with SIGINT ignored, and programs started by tests would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent
_SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session", autouse=True)
def _own_cache_folder(tmp_path_factory):
    """What is found in data sets is remembered in a folder of the tests, also by programs that they start."""
    os.environ["PVD_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))


def pytest_runtest_setup(item):
    if item.get_closest_marker("bf16"):
        from pvd_core.runtime import onednn

        if not onednn.has_bfloat16():
            pytest.skip("this processor does not multiply bfloat16")


# The files that take longest come first: begun last, they would leave the other test processes without work at the end.
_FIRST = ("ros/test_node", "ros/test_bag_p", "cli/test_demo", "ros", "training/run", "training", "cli", "core/sparse")
# Mostly these wait for processes and their messages, while others compute.
_WAITING = ("ros/", "cli/test_demo")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Orders files, not the tests of a file: one that waits beside each that computes, as long as there are any. xdist
    keeps the order only with --no-loadscope-reorder."""
    names = {item.path: item.path.relative_to(ROOT / "test").as_posix() for item in items}

    def place(path):
        return next((number for number, start in enumerate(_FIRST) if names[path].startswith(start)), len(_FIRST))

    ordered = sorted(names, key=place)
    kinds = ([p for p in ordered if names[p].startswith(_WAITING) == waits] for waits in (True, False))
    mixed = [path for pair in itertools.zip_longest(*kinds) for path in pair if path]
    places = {path: number for number, path in enumerate(mixed)}
    items.sort(key=lambda item: places[item.path])


@pytest.fixture(scope="session")
def project_root():
    return ROOT


@pytest.fixture(scope="session")
def shared_data():
    """Folder of real scans beside the project, described by the README.md in it."""
    return _shared_folder("data", "real scans")


@pytest.fixture(scope="session")
def shared_golden():
    """Folder with inputs and outputs of the official code."""
    return _shared_folder("golden", "results of the official code")


def _shared_folder(name, content):
    folder = _SHARED / name
    if not folder.is_dir():
        pytest.skip(f"no folder ../shared/{name} beside the project ({content})")
    return folder
