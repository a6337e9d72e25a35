"""A drive of 1,000 simulated scans: its objects are cut out and fused in bounded memory, and a stopped cut goes on."""

import dataclasses
import multiprocessing
import resource
import signal
from concurrent.futures import ProcessPoolExecutor
from unittest import mock

import pytest

pytest.importorskip("embreex", reason="simulating needs embreex: pip install 'pvd_ros[sim]'")

from forked_commands import start_pvd

from pvd_core.clouds.history import PastScans
from pvd_core.losses.multi_to_single.config import HARD_CLASSES, hard_ids
from pvd_core.taxonomy import SEMANTICKITTI
from training.data.dataset import ScanFolder
from training.data.fused_scans import FusedScans
from training.data.instances.cut import cut_instances
from training.data.instances.past import PastObjects
from training.simulate.dataset import write_sequences
from training.simulate.sensor.sensors import SENSORS, VLP16

NUM_SCANS, STOPPED_AT = 1000, 300
HARD = hard_ids(HARD_CLASSES, SEMANTICKITTI)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    """A drive with some hundred points a scan."""
    folder = tmp_path_factory.mktemp("drive") / "data"
    small = dataclasses.replace(VLP16, name="small", num_azimuths=128)
    with mock.patch.dict(SENSORS, {small.name: small}):
        write_sequences(folder, {"00": NUM_SCANS}, 5, 0.1, small.name)
    return folder


def start(drive, out):
    return start_pvd("dataset", "instances", drive, "--split", "00", "--out", out)


def cut_files(out):
    return {path.name: path.read_bytes() for path in (out / "00").glob("*.npz")}


def peaks_mb(drive, out):
    """Peak memory of a process after a tenth of the scans and after all, for cutting, then for fusing."""
    folder, found = ScanFolder(drive, ["00"], "4", SEMANTICKITTI), []

    def note(done, total):
        if done in (total // 10, total):
            found.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)

    cut_instances(folder, out, HARD, note)
    objects, scans = PastObjects(out, folder, HARD, 4, "poses"), FusedScans(folder, PastScans(2))
    num_past = 0
    for index in range(NUM_SCANS):
        example = folder.example(index)
        num_past += len(objects.onto(example, index)) - len(example)
        assert len(scans.points(index)) > 2 * len(example) or index < 2
        note(index + 1, NUM_SCANS)
    return found, num_past


def test_a_thousand_scans_are_cut_and_fused_in_bounded_memory_and_a_stopped_cut_goes_on(drive, tmp_path):
    # In a new process: other tests would have raised the peak of this one.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        (cut_early, cut_all, fused_early, fused_all), num_past = pool.submit(
            peaks_mb, drive, tmp_path / "whole"
        ).result()
    assert cut_all - cut_early < 15
    assert fused_all - fused_early < 15
    assert num_past > NUM_SCANS
    whole = cut_files(tmp_path / "whole")
    assert len(whole) == NUM_SCANS

    stopped = start(drive, tmp_path / "cut")
    stopped.wait_until(lambda: len(list((tmp_path / "cut").glob("00/*.npz"))) >= STOPPED_AT)
    stopped.send_signal(signal.SIGINT)
    code, output = stopped.wait()
    assert code == 130, output
    assert "what is cut stays in" in output
    assert STOPPED_AT <= len(cut_files(tmp_path / "cut")) < NUM_SCANS
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cut" / "00").glob("*.npz")}

    code, output = start(drive, tmp_path / "cut").wait()
    assert code == 0, output
    assert f"cut out of {NUM_SCANS:,} scans" in output
    assert cut_files(tmp_path / "cut") == whole
    assert {path: path.stat().st_mtime_ns for path in before} == before
