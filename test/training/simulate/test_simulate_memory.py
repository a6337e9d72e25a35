"""The memory of a process that simulates a long drive."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("embreex", reason="simulating needs embreex: pip install 'pvd_ros[sim]'")

from training.simulate import Drive

_STATUS = Path("/proc/self/status")


@pytest.mark.slow
@pytest.mark.skipif(not _STATUS.is_file(), reason="this system does not say how much memory a process has")
def test_memory_of_a_long_drive_stays_that_of_the_streets_in_sight():
    # In a new process: other tests would have left free memory in this one.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        resident_mb = pool.submit(resident_mb_along_a_drive, 220).result()

    # Streets differ in size by up to 90 MB. What they leave behind was 400 MB in 60 blocks before it was given back.
    assert max(resident_mb[40:]) - max(resident_mb[:40]) < 110


def resident_mb_along_a_drive(num_scans):
    """Resident memory after each scan, 23 m apart."""
    frames = Drive(7, num_scans, "vlp16", 2.5).frames()
    return [int(_STATUS.read_text().split("VmRSS:")[1].split()[0]) / 1024 for _ in frames]
