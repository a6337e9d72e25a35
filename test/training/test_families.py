"""Every family of networks, and one more that is added here, through training, distillation and all that labels."""

import json

import numpy as np
import pytest
from ros_clouds import xyzi_cloud
from tiny_dataset import TINY_MODEL, random_scan, write_dataset
from toy_network import ToyConfig, ToyNetwork

from pvd_cli.bench.labelling import labelling_times
from pvd_cli.main import run
from pvd_core.losses.methods import PAPER_COEFFICIENTS
from pvd_core.models import build_model
from pvd_core.models.build import ARCHITECTURES
from pvd_core.segmenter import Segmenter
from pvd_core.weights import read_facts, save_weights
from pvd_ros.bags.types import rosbags_cloud_types
from pvd_ros.labeller import CloudLabeller
from training.run.config import load_config

pytestmark = pytest.mark.usefixtures("without_curves")

_CARTESIAN = {"grid": {"voxel_size": 2.0}}
STUDENTS = {
    "cylinder3d": TINY_MODEL,
    "minkunet": {"architecture": "minkunet", "channel_ratio": 0.125, **_CARTESIAN},
    "spvcnn": {"architecture": "spvcnn", "channel_ratio": 0.125, **_CARTESIAN},
    "toy": {"architecture": "toy", "width": 4, **_CARTESIAN},
}
TEACHERS = {
    "cylinder3d": {**TINY_MODEL, "width": 6},
    "minkunet": {**STUDENTS["minkunet"], "channel_ratio": 0.25},
    "spvcnn": {**STUDENTS["spvcnn"], "channel_ratio": 0.25},
    "toy": {"architecture": "toy", "width": 6, **_CARTESIAN},
}
_SHORT = ["--set", "max_steps=3", "--set", "batch_size=1", "--set", "validation.every_steps=0"]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("drive"), {"00": 3, "08": 1})


@pytest.fixture(params=STUDENTS)
def family(request, monkeypatch):
    monkeypatch.setitem(ARCHITECTURES, "toy", (ToyNetwork, ToyConfig))
    return request.param


def trained(command, dataset, out, model, *options):
    assert (
        run([command, str(dataset), "--out", str(out), *_SHORT, "--set", f"model={json.dumps(model)}", *options]) == 0
    )
    return out / "last.safetensors"


def test_a_family_is_trained_distilled_and_labels_wherever_labels_are_made(family, dataset, tmp_path):
    teacher = trained("train", dataset, tmp_path / "teacher", TEACHERS[family])
    # The toy has no point outputs.
    on_voxels = ["--set", "distillation.settings.point_output=0", "--set", "distillation.settings.point_affinity=0"]
    options = [*(on_voxels if family == "toy" else ()), "--set", "initial_slice=true"]
    options += ["--set", f"initial_weights={teacher}", "--teacher", str(teacher)]
    student = trained("distill", dataset, tmp_path / "student", STUDENTS[family], *options)

    lines = [json.loads(line) for line in (tmp_path / "student" / "losses.jsonl").read_text().splitlines()]
    assert {"voxel_output", "voxel_affinity"} <= lines[-1].keys()
    assert ("point_affinity" in lines[-1]) == (family != "toy")
    assert read_facts(student)["model"]["architecture"] == family

    scan = dataset / "sequences" / "08" / "velodyne" / "000000.bin"
    assert run(["predict", str(scan), "--weights", str(student), "--out", str(tmp_path / "labels")]) == 0
    labels = np.fromfile(next((tmp_path / "labels").rglob("*.label")), np.uint32)
    segmenter = Segmenter.from_weights(student)
    points = random_scan(np.random.default_rng((8, 0)))[0]
    assert len(labels) == len(points)
    assert run(["evaluate", str(dataset), "--weights", str(student), "--split", "08"]) == 0
    assert run(
        ["balance", str(dataset), "--weights", str(student), "--split", "08", "--out", str(tmp_path / "b.st")]
    ) in (0, 2)

    message = CloudLabeller(segmenter, rosbags_cloud_types()).label(xyzi_cloud(points)).message
    assert message.width == len(points)
    timed = labelling_times(segmenter, [points], 3)
    assert timed.facts["macs"] > 0
    sample = timed.repeat(0)
    assert sample["total"] > sample["network"] > 0


@pytest.mark.parametrize("method", ["kd", "cd", "ifv", "skd", "ka"])
@pytest.mark.parametrize("name", ["minkunet", "spvcnn"])
def test_every_method_has_the_papers_coefficients_for_the_students_family(name, method, dataset, tmp_path):
    teacher = tmp_path / "teacher.safetensors"
    save_weights(teacher, build_model(TEACHERS[name]))
    options = ["--teacher", str(teacher), "--method", method]
    options += ["--set", "distillation.settings.autoencoder_steps=0"] if method == "ka" else []
    trained("distill", dataset, tmp_path / "run", STUDENTS[name], *options)
    config = load_config(tmp_path / "run" / "config.yaml").distillation
    assert config.backbone == name
    for field, value in PAPER_COEFFICIENTS[name][method].items():
        assert getattr(config.method_config(), field) == value


def test_a_teacher_of_another_family_on_the_same_voxels_teaches(dataset, tmp_path, capsys):
    teacher = tmp_path / "family.safetensors"
    save_weights(teacher, build_model(TEACHERS["spvcnn"]))
    command = ["distill", str(dataset), *_SHORT, "--set", f"model={json.dumps(STUDENTS['minkunet'])}"]
    assert run([*command, "--teacher", str(teacher), "--out", str(tmp_path / "run")]) == 0
    assert "the teacher has grid" not in capsys.readouterr().out
