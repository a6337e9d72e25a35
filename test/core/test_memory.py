"""The memory of a process that labels clouds of ever new sizes."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from pvd_core import default_weights
from pvd_core.clouds.example import spinning_scan
from pvd_core.models import build_model
from pvd_core.segmenter import Segmenter

_STATUS = Path("/proc/self/status")
_SMALL = {"name": "cylinder3d-compact", "grid": {"shape": (60, 45, 8)}}

pytestmark = pytest.mark.skipif(not _STATUS.is_file(), reason="this system does not say how much memory a process has")


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=pytest.mark.bf16)])
def test_memory_stops_growing_with_clouds_of_ever_new_sizes(precision):
    resident_mb = in_new_process(resident_mb_while_labelling, _SMALL, precision, 60, 4000)

    # A kernel that oneDNN compiles for a new shape stays for good and takes 0.6 MB.
    assert max(resident_mb[20:]) - max(resident_mb[:20]) < 10


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=pytest.mark.bf16)])
def test_memory_stops_growing_over_a_thousand_clouds(precision):
    resident_mb = in_new_process(resident_mb_while_labelling, None, precision, 1000, 130_000)

    assert max(resident_mb[100:]) - max(resident_mb[:100]) < 20


def in_new_process(function, *arguments):
    """Other tests would have left kernels and free memory in this one."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def resident_mb_while_labelling(settings, precision, num_clouds, most_points):
    """Resident memory after each cloud, the largest cloud first. `settings` of a network; None: the shipped weights."""
    if settings is None:
        segmenter = Segmenter.from_weights(default_weights(), "cpu", precision)
    else:
        torch.set_num_threads(1)
        segmenter = Segmenter(build_model(settings), precision=precision)
    sizes = np.exp(np.random.default_rng(0).uniform(np.log(300), np.log(most_points), num_clouds)).astype(int)
    resident_mb = []
    for size in (most_points, *sizes):
        segmenter.segment(spinning_scan(int(size)))
        resident_mb.append(int(_STATUS.read_text().split("VmRSS:")[1].split()[0]) / 1024)
    return resident_mb
