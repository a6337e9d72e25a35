"""Teacher's outputs kept on disk: the same losses, no second look, nothing that is not theirs, full disks."""

import contextlib
import json
import resource

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_dataset import TINY_MODEL, random_scan, write_dataset
from training_runs import finish, kill_after_step, results, start

from pvd_core.borders.errors import UserError
from pvd_core.losses.methods import METHODS
from pvd_core.models import build_model
from pvd_core.models.build import grid_of
from pvd_core.taxonomy import SEMANTICKITTI
from pvd_core.weights import save_weights
from training.data.batches import make_batch
from training.data.example import Example
from training.distil.config import DistillationConfig
from training.distil.distillation import DistillationObjective, build_method, load_teacher
from training.distil.teacher_cache import TeacherCache
from training.distil.teacher_source import FrozenTeacher
from training.run.config import LossConfig, TrainConfig, load_config
from training.run.loop import train
from training.run.objective import SegmentationObjective
from training.run.progress import NoProgress

pytestmark = pytest.mark.usefixtures("without_curves")

CPU = torch.device("cpu")
SETTINGS = {"pvd": {"supervoxel_size": [6, 6, 4]}, "skd": {"node_size": [6, 6, 4]}, "ka": {"autoencoder_steps": 0}}


@pytest.fixture(scope="module")
def teacher_path(tmp_path_factory):
    return new_teacher(tmp_path_factory.mktemp("weights") / "teacher.safetensors", seed=1)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("drive"), {"00": 2, "08": 1})


def new_teacher(path, seed):
    torch.manual_seed(seed)
    save_weights(path, build_model({**TINY_MODEL, "width": 6}))
    return path


def make_scan(seed):
    points, raw = random_scan(np.random.default_rng(seed))
    return Example.of_scan(points, SEMANTICKITTI.class_ids_from_raw(raw)).chosen(slice(1900 + seed))


def batch_of(*seeds):
    return make_batch([make_scan(seed) for seed in seeds], build_model(TINY_MODEL).grid, number=3)


def cache_in(folder, teacher_path, fields, notes=None, precision="fp32"):
    note = (notes if notes is not None else []).append
    return TeacherCache(folder, [teacher_path], grid_of(TINY_MODEL), 1, fields, precision, CPU, 4, note)


class Line:
    """A student, a teacher that counts the scans that it is asked about, and the objective between them."""

    def __init__(self, teacher_path, method="pvd", folder=None, notes=None):
        torch.manual_seed(0)
        student = build_model(TINY_MODEL)
        config = DistillationConfig(str(teacher_path), method, SETTINGS.get(method, {}))
        teacher, self.num_asked = load_teacher(teacher_path, student, SEMANTICKITTI, "cpu"), 0
        teacher.register_forward_pre_hook(self._count)
        method = build_method(config, student, [teacher])
        cache = None if folder is None else cache_in(folder, teacher_path, method.config.teacher_fields, notes)
        supervised = SegmentationObjective(student, LossConfig())
        self.objective = DistillationObjective(supervised, method, [teacher], SEMANTICKITTI, 0, cache)

    def losses(self, batch):
        return {name: term.item() for name, term in self.objective(batch).items()}

    def _count(self, _module, inputs):
        self.num_asked += inputs[0].batch_size


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_the_same_losses_with_what_is_kept(method, teacher_path, tmp_path):
    batch = batch_of(0)
    expected = Line(teacher_path, method).losses(batch)
    first, second = (Line(teacher_path, method, tmp_path) for _ in range(2))
    assert first.losses(batch) == second.losses(batch) == expected
    assert (first.num_asked, second.num_asked) == (1, 0)


@pytest.mark.parametrize("start", ["voxel_", "point_"])
def test_kept_outputs_with_too_few_rows_are_refused(start, teacher_path, tmp_path):
    Line(teacher_path, folder=tmp_path).losses(batch_of(0))
    (path,) = tmp_path.glob("*/*.safetensors")
    tensors = {name: tensor[:-50] if name.startswith(start) else tensor for name, tensor in load_file(path).items()}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    with pytest.raises(UserError, match=r"of 1900 points and .* voxels; remove it, and it is computed again"):
        Line(teacher_path, folder=tmp_path).losses(batch_of(0))


def test_scans_are_found_in_whichever_batch_they_come(teacher_path, tmp_path):
    expected = Line(teacher_path).losses(batch_of(2, 0))
    line = Line(teacher_path, folder=tmp_path)
    line.losses(batch_of(0, 1))
    assert line.losses(batch_of(2, 0)) == pytest.approx(expected, rel=1e-4)
    assert line.num_asked == 3


def test_other_points_weights_fields_or_precision_find_nothing(teacher_path, tmp_path):
    fields = ("voxel_logits_VC",)
    cache = cache_in(tmp_path / "cache", teacher_path, fields)
    other = new_teacher(tmp_path / "other.safetensors", seed=2)
    moved = tmp_path / "moved.safetensors"
    moved.write_bytes(teacher_path.read_bytes())
    assert cache_in(tmp_path / "cache", moved, fields).folder == cache.folder
    folders = {
        cache.folder,
        cache_in(tmp_path / "cache", other, fields).folder,
        cache_in(tmp_path / "cache", teacher_path, ("voxel_features_VE",)).folder,
        cache_in(tmp_path / "cache", teacher_path, fields, precision="bf16").folder,
    }
    assert len(folders) == 4
    scan = make_scan(0)
    grid = build_model(TINY_MODEL).grid
    shifted = scan.points.copy()
    shifted[7, 0] = np.nextafter(shifted[7, 0], np.float32(100))
    assert make_batch([scan], grid).digests != make_batch([scan.with_points(shifted)], grid).digests


class Notes(NoProgress):
    def __init__(self):
        self.lines = []

    def note(self, text):
        self.lines.append(text)


def run_settings(dataset, teacher_path, *more):
    return [
        f"dataset={dataset}",
        f"model={json.dumps(TINY_MODEL)}",
        "batch_size=1",
        "epochs=4",
        "num_threads=1",
        "scan_versions=2",
        "mixing.laser_mix=0.5",
        "checkpoint_every_steps=4",
        "validation.every_steps=0",
        f"distillation.teacher={teacher_path}",
        f"distillation.settings={json.dumps(SETTINGS['pvd'])}",
        *more,
    ]


@pytest.fixture(scope="module")
def uncached(dataset, teacher_path, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("runs") / "uncached"
    train(load_config(None, run_settings(dataset, teacher_path)), run_dir)
    return run_dir


def test_after_every_version_has_come_the_teacher_is_not_asked_any_more(
    dataset, teacher_path, uncached, tmp_path, monkeypatch
):
    asked, ask = [], FrozenTeacher._run
    monkeypatch.setattr(FrozenTeacher, "_run", lambda *inputs: asked.append(1) or ask(*inputs))
    notes, cache = Notes(), tmp_path / "cache"
    settings = run_settings(dataset, teacher_path, f"distillation.cache={cache}")
    train(load_config(None, settings), tmp_path / "run", progress=notes)
    # 2 scans in 2 versions, 8 steps.
    assert len(asked) == len(list(cache.glob("*/*.safetensors"))) == 4
    assert results(tmp_path / "run") == results(uncached)
    (size,) = [line for line in notes.lines if "MB a scan" in line]
    assert "for 4" in size
    assert len({line["cross_entropy"] for line in results(uncached)[0]}) == 8


@pytest.mark.slow
def test_run_killed_and_resumed_beside_its_cache_gives_the_losses_without_one(
    dataset, teacher_path, uncached, tmp_path, project_root
):
    settings = run_settings(dataset, teacher_path, f"distillation.cache={tmp_path / 'cache'}")
    kill_after_step(6, tmp_path / "run", settings, project_root)
    finish(start(tmp_path / "run", settings, project_root, resume=True))
    assert results(tmp_path / "run") == results(uncached)


@contextlib.contextmanager
def files_of_at_most(num_bytes):
    """Writing more fails as it does on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_full_disk_is_told_once_and_the_losses_stay_the_same(teacher_path, tmp_path):
    expected, notes = Line(teacher_path).losses(batch_of(0)), []
    line = Line(teacher_path, folder=tmp_path, notes=notes)
    with files_of_at_most(10_000):
        assert line.losses(batch_of(0)) == line.losses(batch_of(0)) == expected
    assert line.num_asked == 2
    (warning,) = [text for text in notes if text.startswith("warning")]
    assert "cannot write" in warning
    assert [path.name for path in line.objective.source.cache.folder.iterdir()] == ["about.json"]


def test_file_that_is_broken_or_of_other_points_is_named(teacher_path, tmp_path):
    line = Line(teacher_path, folder=tmp_path)
    line.losses(batch_of(0))
    (path,) = line.objective.source.cache.folder.glob("*.safetensors")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=rf"{path.name} cannot be read .*; remove it"):
        line.losses(batch_of(0))
    path.rename(path.with_stem(batch_of(1).digests[0])).write_bytes(whole)
    with pytest.raises(UserError, match="of 1901 points and 351 voxels; remove it"):
        line.losses(batch_of(1))


def test_cache_is_refused_where_scans_do_not_come_again():
    cached = DistillationConfig("t", cache="cache")
    with pytest.raises(UserError, match="data is simulated, whose scans do not"):
        TrainConfig("data", data="simulated", max_steps=3, scan_versions=1, distillation=cached)
    with pytest.raises(UserError, match="set scan_versions to how many fixed versions"):
        TrainConfig("data", distillation=cached)
    assert TrainConfig("data", scan_versions=3, distillation=cached).scan_versions == 3
