"""Whoever writes a simulated folder, in however many goes, and whatever ends him: the same bytes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("embreex", reason="simulating needs embreex: pip install 'pvd_ros[sim]'")

from bare_streets import bare_streets

from training.simulate import write_dataset
from training.simulate.dataset import is_finished

SETTINGS = {"train_sequences": ("00",), "valid_sequences": ("08",), "num_scans": 2, "seed": 5, "scan_interval_s": 0.5}

# Processes that it starts import it again, and so have bare streets too.
_RUN = """
import os, resource, signal, sys
from bare_streets import make_streets_bare
from training.simulate import write_dataset

folder, streets, num_workers, last_scan, most_bytes = sys.argv[1:]
if streets == "bare":
    make_streets_bare()

def progress(done, total, path):
    print(done, flush=True)
    if done == int(last_scan):
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    if int(most_bytes):
        # Stands in for a full disk: writing a scan fails after some bytes of it.
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(most_bytes), int(most_bytes)))
    write_dataset(
        folder, ("00",), ("08",), 2, 5, scan_interval_s=0.5, num_workers=int(num_workers), progress=progress
    )
"""


@pytest.fixture(scope="module", params=["bare", pytest.param("whole", marks=pytest.mark.slow)])
def streets(request):
    if request.param == "whole":
        yield request.param
    else:
        with bare_streets():
            yield request.param


@pytest.fixture(scope="module")
def dataset(streets, tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("simulated") / "drives", **SETTINGS)


def run_alone(folder, streets, num_workers=1, last_scan=0, most_bytes=0):
    """Exit code, output and errors of a process that simulates, once all its processes have ended; it kills itself
    after `last_scan`."""
    script = folder.with_suffix(".py")
    script.write_text(_RUN)
    root = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (root, root / "test" / "support")))}
    arguments = map(str, (folder, streets, num_workers, last_scan, most_bytes))
    # The output ends when the last process that has it ends.
    ended = subprocess.run(
        [sys.executable, str(script), *arguments], capture_output=True, text=True, env=environment, timeout=300
    )
    return ended.returncode, ended.stdout, ended.stderr


def all_bytes(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_process_that_simulates_starts_without_torch():
    # Each of the workers would take seconds more.
    code = "import sys; from training.data import simulated_stream, world_pool; import training.simulate"
    code += "; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3]).returncode == 0


def test_any_number_of_workers_writes_the_same_bytes(dataset, streets, tmp_path):
    code, output, errors = run_alone(tmp_path / "many", streets, num_workers=2)
    assert code == 0, errors
    assert output.split() == ["1", "2", "3", "4"]
    assert all_bytes(tmp_path / "many") == all_bytes(dataset)


@pytest.mark.parametrize("num_workers", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_a_killed_run_is_continued_to_the_same_bytes(dataset, streets, num_workers, tmp_path):
    code, output, errors = run_alone(tmp_path / "killed", streets, num_workers, last_scan=1)
    assert (code, output.split()) == (-signal.SIGKILL, ["1"]), errors
    assert not is_finished(tmp_path / "killed")
    write_dataset(tmp_path / "killed", **SETTINGS)
    assert all_bytes(tmp_path / "killed") == all_bytes(dataset)


def test_a_disk_that_fills_up_ends_the_run_and_leaves_no_half_file(tmp_path):
    code, _, errors = run_alone(tmp_path / "d", "bare", most_bytes=1_000_000)
    assert code > 0
    assert "cannot write" in errors
    assert "what is written stays and can be continued" in errors
    assert not list((tmp_path / "d").rglob("*.part"))
    assert not list((tmp_path / "d").rglob("*.bin"))
