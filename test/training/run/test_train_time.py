"""Training a network that takes how many scans back points are, and what it may start from."""

import json

import numpy as np
import pytest
import torch
from moving_drive import POINTS_A_SCAN, write_drive
from tiny_dataset import TINY_MODEL

from pvd_core.borders.errors import UserError
from pvd_core.clouds.history import PastScans
from pvd_core.segmenter import Segmenter
from pvd_core.taxonomy import SEMANTICKITTI, SEMANTICKITTI_MULTISCAN
from pvd_core.weights import load_model, read_facts
from training.data.dataset import ScanFolder
from training.data.fused_scans import FusedScans
from training.judge.evaluate import evaluate
from training.run.config import load_config
from training.run.loop import train
from training.run.progress import NoProgress
from training.run.session import _initial_network

pytestmark = pytest.mark.usefixtures("without_curves")

CUBES = {"architecture": "minkunet", "channel_ratio": 0.25, "grid": {"voxel_size": 1.0}}
FAMILIES = {"cylinder3d": TINY_MODEL, "minkunet": CUBES, "spvcnn": {**CUBES, "architecture": "spvcnn"}}
MULTISCAN, TIMED = ("taxonomy=semantickitti-multiscan", "scans.past=2"), "scans.time=true"


def config_for(dataset, *overrides, family="cylinder3d"):
    base = [f"dataset={dataset}", f"model={json.dumps(FAMILIES[family])}", "num_threads=1", "batch_size=1"]
    return load_config(None, [*base, "max_steps=2", "validation.every_steps=0", *overrides])


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_drive(tmp_path_factory.mktemp("drive"), {"00": 4, "08": 4})


def trained(dataset, folder, *overrides, family="cylinder3d", **options):
    return train(config_for(dataset, *overrides, family=family), folder, **options)["last_weights"]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_network_learns_from_the_time_and_is_scored_with_it(dataset, tmp_path, family):
    mixing = ("mixing.laser_mix=0.5", "mixing.paste_objects=2", "mixing.polar_mix=0.5")
    weights = trained(dataset, tmp_path / "run", *MULTISCAN, TIMED, *mixing, family=family)
    facts = read_facts(weights)
    assert facts["model"]["grid"] == {**facts["model"]["grid"], "time": True}
    assert facts["training_config"]["scans"] == {"past": 2, "stride": 1, "time": True}
    segmenter = Segmenter.from_weights(weights, "cpu")
    assert segmenter.past_scans == PastScans(2, time=True)
    result = evaluate(dataset, weights, device="cpu")
    assert (result["past_scans"], result["scan_time"]) == (2, True)
    scans = FusedScans(ScanFolder(dataset, "valid", taxonomy=SEMANTICKITTI_MULTISCAN), segmenter.past_scans)
    labels = [segmenter.segment(scans.points(index)).labels[:POINTS_A_SCAN] for index in range(4)]
    truth = [scans.folder.class_ids(index) for index in range(4)]
    assert result["accuracy"] == pytest.approx(np.mean(np.equal(labels, truth)))
    assert evaluate(dataset, weights, device="cpu", votes=2)["num_points"] == 4 * POINTS_A_SCAN


def test_a_student_with_the_time_learns_from_its_teacher(dataset, tmp_path):
    teacher = trained(dataset, tmp_path / "teacher", *MULTISCAN, TIMED)
    pvd = (f"distillation.teacher={teacher}", "distillation.settings.supervoxel_size=[6,6,4]")
    student = trained(dataset, tmp_path / "student", *MULTISCAN, TIMED, *pvd)
    assert Segmenter.from_weights(student, "cpu").past_scans.time
    with pytest.raises(UserError, match=r"has scans\.time true, the student false"):
        trained(dataset, tmp_path / "other", *MULTISCAN, *pvd)


class Notes(NoProgress):
    def __init__(self):
        self.lines = []

    def note(self, text):
        self.lines.append(text)


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_of_fewer_classes_without_the_time_may_start_a_network(dataset, tmp_path, family):
    weights, notes = trained(dataset, tmp_path / "single", family=family), Notes()
    start = (*MULTISCAN, TIMED, f"initial_weights={weights}")
    config = config_for(dataset, *start, family=family)
    network, initial = _initial_network(config).eval(), load_model(weights)[0]
    points = FusedScans(ScanFolder(dataset, "valid"), config.scans).points(3)
    outputs = [
        each(each.grid.voxelise([torch.from_numpy(points[:, :4] if each is initial else points)]), with_points=True)
        for each in (initial, network)
    ]
    known = {name: number for number, name in enumerate(SEMANTICKITTI.names)}
    rows = [known[name.removeprefix("moving-")] for name in SEMANTICKITTI_MULTISCAN.names]
    for name in ("voxel_logits_VC", "point_logits_PC"):
        before, after = (getattr(output, name) for output in outputs)
        torch.testing.assert_close(after, before[:, rows], rtol=1e-4, atol=1e-5)
    trained(dataset, tmp_path / "run", *start, family=family, progress=notes)
    said = (
        "know less than this run learns: classes of moving objects begin as those of still ones, the time of points "
        "counts nothing at first"
    )
    assert sum(said in line for line in notes.lines) == 1


def test_weights_that_cannot_start_a_network_are_refused(dataset, tmp_path):
    timed, single = trained(dataset, tmp_path / "a", "scans.past=2", TIMED), trained(dataset, tmp_path / "b")
    with pytest.raises(UserError, match=r"take the time of points, but scans\.time is false: set it to true"):
        trained(dataset, tmp_path / "c", "scans.past=2", f"initial_weights={timed}")
    slices = ("scans.past=2", TIMED, "initial_slice=true", f"initial_weights={single}")
    with pytest.raises(UserError, match=r"take no time of points, but scans\.time is true: set it to false"):
        trained(dataset, tmp_path / "d", *slices)
    with pytest.raises(
        UserError, match=r"(?s)does not fit the network.*model=null takes the network of initial_weights"
    ):
        trained(dataset, tmp_path / "e", "scans.past=2", TIMED, f"initial_weights={single}", "model.width=6")


def test_settings_of_the_time_are_checked(dataset):
    with pytest.raises(UserError, match="the time of past scans is wanted, but their number is 0"):
        config_for(dataset, TIMED)
    with pytest.raises(UserError, match=r"model\.grid\.time is true, but scans\.time is false: set scans\.time alone"):
        config_for(dataset, "scans.past=2", "model.grid.time=true")
    grid = config_for(dataset, "scans.past=2", TIMED).network["grid"]
    assert (list(grid["shape"]), grid["time"]) == ([24, 18, 8], True)
    assert config_for(dataset, "scans.past=2", TIMED, "model=cylinder3d-compact").network["grid"]["shape"] == (
        240,
        180,
        32,
    )
