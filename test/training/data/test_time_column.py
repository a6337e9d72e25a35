"""How many scans back points are travels with them: through fusing, mixing and augmentation."""

import dataclasses

import numpy as np
import pytest
from moving_drive import POINTS_A_SCAN, write_drive

from pvd_core.clouds.history import PastScans
from pvd_core.taxonomy import SEMANTICKITTI_MULTISCAN as CLASSES
from training.data.augment import AugmentationConfig, augment
from training.data.augmentation.objects import ObjectBank, SceneObject
from training.data.dataset import ScanFolder
from training.data.example import Example
from training.data.folder_stream import FolderStream
from training.data.fused_scans import FusedScans
from training.data.mix import MixingConfig, mix

EVERYTHING = AugmentationConfig(
    scale_z=(0.9, 1.1),
    shift_height_metres=0.2,
    tilt_degrees=2.0,
    raise_kerbs_metres=0.1,
    range_noise_metres=0.05,
    drop_rings=1.0,
    drop_patches=3,
    drop_points=0.3,
    intensity_jitter=0.3,
    intensity_gamma=0.3,
    intensity_by_class=0.3,
    intensity_noise=0.05,
)
# A scan of `marked` has one class for each time, so that labels tell what the time must be. Objects of the bank, which
# are persons, are of the newest scan.
BY_CLASS = {"road": 0, "bicycle": 1, "building": 2, "person": 0}
TIMES = {CLASSES.id_of(name): time for name, time in BY_CLASS.items()}


def marked(seed):
    generator = np.random.default_rng(seed)
    xyz = generator.uniform((-30, -30, -1.7), (30, 30, -1.6), (6000, 3))
    names = generator.choice(list(BY_CLASS)[:3], 6000, p=(0.8, 0.1, 0.1))
    labels = np.array([CLASSES.id_of(name) for name in names], np.uint8)
    times = [TIMES[label] for label in labels]
    points = np.column_stack((xyz, generator.random(6000), times)).astype(np.float32)
    return Example(points, labels, np.zeros(6000, np.int32), points[:, 4] == 0)


def bank():
    xyz = np.random.default_rng(0).uniform((9.8, 0, -1.6), (10.2, 0.4, 0.1), (40, 3))
    points = np.column_stack((xyz, np.full(40, 0.5), np.zeros(40))).astype(np.float32)
    result = ObjectBank()
    result.add([SceneObject(points, np.arange(40), CLASSES.id_of("person"), -1.65)])
    return result


def times_by_label(example):
    return np.array([TIMES[label] for label in example.labels])


@pytest.mark.parametrize("config", [EVERYTHING, dataclasses.replace(EVERYTHING, intensity_off=1.0)])
def test_augmentation_leaves_the_time_alone_and_is_otherwise_as_without(config):
    scan = marked(1)
    timed = augment(scan, np.random.default_rng(3), config, CLASSES)
    plain = augment(scan.with_points(scan.points[:, :4]), np.random.default_rng(3), config, CLASSES)
    assert timed.points.dtype == np.float32
    assert 0 < len(timed) < len(scan)
    assert (timed.points[:, 4] == times_by_label(timed)).all()
    assert timed.points[:, :4].tobytes() == plain.points.tobytes()


@pytest.mark.parametrize("step", [{"laser_mix": 1.0}, {"polar_mix": 1.0}, {"paste_objects": 4}])
def test_mixing_carries_the_time_with_each_point(step):
    scan, generator = marked(1), np.random.default_rng(1)
    mixed = mix(scan, lambda random: marked(2), bank(), generator, MixingConfig(**step), CLASSES)
    assert len(mixed) != len(scan)
    assert (mixed.points[:, 4] == times_by_label(mixed)).all()
    assert ("paste_objects" in step) == (CLASSES.id_of("person") in mixed.labels)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = write_drive(tmp_path_factory.mktemp("drive"), {"00": 6})
    return ScanFolder(root, ["00"], taxonomy=CLASSES)


def test_points_of_past_scans_carry_how_many_scans_back_they_are(folder):
    timed, plain = FusedScans(folder, PastScans(2, 2, time=True)), FusedScans(folder, PastScans(2, 2))
    for index in range(6):
        expected = np.repeat([0, 2, 4], POINTS_A_SCAN)[: POINTS_A_SCAN * (1 + index // 2)]
        for points, without in (
            (timed.points(index), plain.points(index)),
            (timed.labelled_points(index)[0], plain.labelled_points(index)[0]),
            (timed.example(index).points, plain.example(index).points),
        ):
            assert points.dtype == np.float32
            assert points[:, :4].tobytes() == without.tobytes()
            assert points[:, 4].tolist() == expected.tolist()


def test_a_stream_says_that_points_carry_their_time_and_its_objects_do_too(folder, monkeypatch):
    stream = FolderStream(folder, range(6), 0, past=PastScans(2, time=True))
    assert stream.describe().endswith("2 past scans behind each, with their time")
    cut = []
    monkeypatch.setattr("training.data.folder_stream.objects_in", lambda points, *_: cut.append(points) or [])
    stream.objects(0)
    assert [points.shape for points in cut] == [(POINTS_A_SCAN, 5)] * 6
    assert not any(points[:, 4].any() for points in cut)
