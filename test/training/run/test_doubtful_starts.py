"""What a run says of weights that it starts from or learns from, and of its length, where a mistake is likely."""

import json

import pytest
from tiny_dataset import TINY_MODEL, write_dataset

from pvd_core.borders.errors import UserError
from pvd_core.models import build_model
from pvd_core.weights import save_weights
from training.run.config import load_config
from training.run.loop import train
from training.run.progress import NoProgress

pytestmark = pytest.mark.usefixtures("without_curves")

CUBES = {"channel_ratio": 0.0625, "grid": {"voxel_size": 2.0}}
MINKUNET, SPVCNN = ({"architecture": name, **CUBES} for name in ("minkunet", "spvcnn"))
RINGS = {**TINY_MODEL, "grid": {"shape": [24, 18, 8], "radial": "progressive", "first_cell": 1.0}}


class Notes(NoProgress):
    def __init__(self):
        self.lines = []

    def note(self, text):
        self.lines.append(text)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("drive"), {"00": 2, "08": 1})


@pytest.fixture
def said(dataset, tmp_path):
    """What a run of two steps says that contains a word."""

    def lines(word, model, *overrides):
        notes = Notes()
        base = [f"dataset={dataset}", f"model={json.dumps(model)}", "num_threads=1", "max_steps=2", "batch_size=1"]
        folder = tmp_path / f"run{len(list(tmp_path.glob('run*')))}"
        base += ["validation.every_steps=0", "schedule.warmup_steps=1"]
        train(load_config(None, [*base, *overrides]), folder, progress=notes)
        return [line for line in notes.lines if word in line]

    return lines


def saved(path, model):
    save_weights(path, build_model(model))
    return path


@pytest.mark.parametrize(
    ("model", "of_weights", "names"),
    [
        (MINKUNET, {**MINKUNET, "grid": {"voxel_size": 0.5}}, ("voxel_size 0.5, this run has", "voxel_size 2.0")),
        (TINY_MODEL, RINGS, ("radial progressive", "radial uniform")),
    ],
)
@pytest.mark.parametrize("initial_slice", ["false", "true"])
def test_initial_weights_of_another_grid_are_told(said, tmp_path, model, of_weights, names, initial_slice):
    weights = saved(tmp_path / "other.safetensors", of_weights)
    (line,) = said("learned on grid", model, f"initial_weights={weights}", f"initial_slice={initial_slice}")
    assert all(name in line for name in (str(weights), *names))
    weights = saved(tmp_path / "same.safetensors", model)
    assert not said("learned on grid", model, f"initial_weights={weights}", f"initial_slice={initial_slice}")


def test_initial_weights_of_another_family_are_refused_by_the_names_of_both(said, tmp_path):
    families = {"cylinder3d": TINY_MODEL, "minkunet": MINKUNET, "spvcnn": SPVCNN}
    paths = {name: saved(tmp_path / f"{name}.safetensors", model) for name, model in families.items()}
    for found, wanted, is_sliced in (
        ("cylinder3d", "minkunet", "false"),
        ("cylinder3d", "minkunet", "true"),
        ("minkunet", "spvcnn", "true"),
    ):
        with pytest.raises(
            UserError, match=rf"are weights of a {found}, the network is a {wanted}: take weights of a {wanted}$"
        ):
            said("", families[wanted], f"initial_weights={paths[found]}", f"initial_slice={is_sliced}")
    start = f"initial_weights={paths['spvcnn']}"
    with pytest.raises(UserError, match=r"of a spvcnn, the network is a minkunet: .*or set initial_slice=true"):
        said("", MINKUNET, start)
    assert said("2 steps", MINKUNET, start, "initial_slice=true")


def test_a_teacher_smaller_than_its_student_is_told(said, tmp_path):
    for ratio, is_told in ((0.03125, True), (0.0625, False)):
        teacher = saved(tmp_path / f"{ratio}.safetensors", {**MINKUNET, "channel_ratio": ratio})
        lines = said("the teacher has", MINKUNET, f"distillation.teacher={teacher}")
        assert bool(lines) == is_told


@pytest.mark.parametrize(("steps", "is_told"), [(1, False), (2, True), (50, True)])
def test_a_run_that_ends_before_its_warm_up_is_told(said, steps, is_told):
    lines = said(f"schedule.warmup_steps is {steps}, the run has 2 steps", TINY_MODEL, f"schedule.warmup_steps={steps}")
    assert bool(lines) == is_told
