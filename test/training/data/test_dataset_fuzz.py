"""Small mutations of a tiny data set by the thousand: the check never fails, and what it passes trains for a step."""

import contextlib
import json
import shutil

import numpy as np
import pytest
from dataset_mutations import mutated
from tiny_dataset import TINY_MODEL, random_scan, write_scan

from pvd_core.borders.errors import UserError
from pvd_core.voxels import CylindricalGrid
from training.data.batches import BatchStream
from training.data.checking.check import SCORE, TRAIN, Part, check_dataset
from training.data.checking.whole_folder import check_folder
from training.run.config import load_config
from training.run.loop import train
from training.run.run_data import LeftOut, open_data

_NUM_POINTS = 60
_SETTINGS = (
    f"model={json.dumps(TINY_MODEL)}",
    "num_threads=1",
    "num_workers=0",
    "max_steps=1",
    "batch_size=2",
    "mixing.laser_mix=0.4",
    "mixing.polar_mix=0.4",
    "mixing.paste_objects=1",
    "loss.class_weights=sqrt",
    "augmentation.drop_rings=0.5",
    "augmentation.drop_points=0.5",
    "validation.max_scans=1",
)


def pristine(root):
    """Two training scans and one to validate on, of a few points each."""
    for sequence, frames in (("00", 2), ("08", 1)):
        for frame in range(frames):
            points, labels = random_scan(np.random.default_rng((int(sequence), frame)))
            write_scan(root, sequence, f"{frame:06d}", points[::33][:_NUM_POINTS], labels[::33][:_NUM_POINTS])
    (root / "sequences/00/poses.txt").write_text("1 0 0 0 0 1 0 0 0 0 1 0\n" * 2)
    (root / "sequences/00/times.txt").write_text("0.0\n0.1\n")


def survives(root, run_dir, is_whole):
    """Whether the check passes the data set. If so, all its scans are drawn for training; with `is_whole`, a training
    does a step on it from beginning to end."""
    if is_whole:
        with contextlib.suppress(UserError):
            check_folder(root).as_dict()
    try:
        report = check_dataset(root, [Part(TRAIN, "train"), Part(SCORE, "valid")])
        json.dumps([report.as_dict(), report.error_lines(), report.remark_lines()])
        report.say(lambda line: None)
    except UserError:
        return False
    config = load_config(None, [f"dataset={root}", *_SETTINGS])
    if is_whole:
        assert train(config, run_dir)["steps"] == 1
    else:
        draw(config, LeftOut(report.left_out))
    return True


def draw(config, left_out):
    with contextlib.closing(open_data(config, left_out)) as data:
        drawing = config.augmentation, config.mixing, CylindricalGrid(shape=(24, 18, 8)), "cpu"
        stream = BatchStream(data.training, config.batch_size, config.seed, *drawing)
        for number in range(2):
            batch = stream.batch(number)
            assert len(batch.voxel_labels_V) == batch.voxels.num_voxels > 0
        for index in data.validation_indices:
            points, labels = data.validation.labelled_points(index)
            assert len(points) == len(labels)


def fuzz(first, number, tmp_path, one_whole_in=1):
    whole, num_passed = tmp_path / "whole", 0
    pristine(whole)
    for seed in range(first, first + number):
        root, run_dir = tmp_path / "data", tmp_path / "run"
        shutil.copytree(whole, root)
        done = mutated(root, np.random.default_rng(seed))
        try:
            num_passed += survives(root, run_dir, seed % one_whole_in == 0)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {done}") from error
        finally:
            for folder in (root, run_dir):
                shutil.rmtree(folder, ignore_errors=True)
    return num_passed


@pytest.mark.usefixtures("without_curves")
def test_small_mutations_are_reported_or_can_be_trained_on(tmp_path):
    assert 0 < fuzz(0, 30, tmp_path) < 30


@pytest.mark.slow
@pytest.mark.usefixtures("without_curves")
@pytest.mark.parametrize("first", range(1000, 11_000, 1000))
def test_ten_thousand_mutations_are_reported_or_can_be_trained_on(first, tmp_path):
    assert 0 < fuzz(first, 1000, tmp_path, one_whole_in=20) < 1000
