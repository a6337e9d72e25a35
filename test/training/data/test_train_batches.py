"""Batches: same content whoever prepares them, in whatever order; labels of voxels; results computed ahead."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_dataset import TINY_MODEL, random_scan, write_dataset, write_scan

from pvd_core.borders.errors import UserError
from pvd_core.models import build_model
from pvd_core.segmenter import Segmenter
from pvd_core.voxels import CylindricalGrid
from training.data.augment import AugmentationConfig
from training.data.batches import BatchStream, make_batch
from training.data.dataset import ScanFolder, usable_points
from training.data.example import Example
from training.data.folder_stream import FolderStream
from training.data.mix import MixingConfig
from training.data.prefetch import prefetched

GRID = CylindricalGrid((24, 18, 8))


@pytest.fixture
def folder(tmp_path):
    return ScanFolder(write_dataset(tmp_path, {"00": 5}), "train")


def stream_of(folder, batch_size=2, seed=0, mixing=MixingConfig(), max_voxels=None):  # noqa: B008 - frozen
    scans = FolderStream(folder, range(len(folder)), seed)
    config = AugmentationConfig()
    return BatchStream(scans, batch_size, seed, config, mixing, GRID, "cpu", max_voxels=max_voxels)


def content(batch):
    return batch.voxels.point_features_PF, batch.voxels.coords_V4, batch.voxel_labels_V, batch.point_labels_P


def is_same(first, second):
    return all(torch.equal(a, b) for a, b in zip(content(first), content(second), strict=True))


def test_batch_depends_on_its_number_only(folder):
    in_order = [stream_of(folder).batch(number) for number in range(8)]
    backwards = stream_of(folder)
    for number in reversed(range(8)):
        assert is_same(backwards.batch(number), in_order[number])


def test_prefetched_batches_are_those_made_one_by_one(folder):
    one_by_one = [stream_of(folder).batch(number) for number in range(12)]
    for num_workers in (0, 1, 3):
        ahead = list(prefetched(stream_of(folder).batch, range(12), num_workers))
        assert len(ahead) == 12
        assert all(is_same(a, b) for a, b in zip(ahead, one_by_one, strict=True))


def test_a_scan_with_too_many_voxels_keeps_a_random_choice_of_them_with_all_their_points(folder):
    whole, thinned = (stream_of(folder, 1, max_voxels=most).batch(0).voxels for most in (None, 50))
    assert whole.num_voxels > thinned.num_voxels == 50
    cells = [tuple(cell) for cell in whole.coords_V4.tolist()]
    kept = [cells.index(tuple(cell)) for cell in thinned.coords_V4.tolist()]
    assert torch.equal(whole.num_points_V[kept], thinned.num_points_V)
    assert kept != list(range(50))
    assert is_same(stream_of(folder, 1, max_voxels=50).batch(0), stream_of(folder, 1, max_voxels=50).batch(0))
    assert is_same(stream_of(folder, 1, max_voxels=10**6).batch(0), stream_of(folder, 1).batch(0))


def test_every_epoch_takes_each_scan_once_in_another_order(folder):
    stream = stream_of(folder, batch_size=1)
    epochs = [[stream.scan_names(number)[0] for number in range(5 * e, 5 * e + 5)] for e in range(4)]
    assert all(sorted(epoch) == [scan.name for scan in folder.scans] for epoch in epochs)
    assert len(set(map(tuple, epochs))) > 1


def test_batch_larger_than_the_data_set_goes_on_with_the_next_epochs(folder):
    assert len(stream_of(folder, batch_size=12).scan_names(0)) == 12
    assert stream_of(folder, batch_size=12).batch(0).voxels.batch_size == 12


def test_seed_and_epoch_change_the_augmentation(folder):
    first, second = stream_of(folder, batch_size=5), stream_of(folder, batch_size=5, seed=1)
    assert not is_same(first.batch(0), second.batch(0))
    sums = [first.batch(number).voxels.point_features_PF[:, 3].double().sum().item() for number in range(2)]
    assert sums[0] != sums[1]


def test_voxel_label_is_the_majority_of_its_points_smallest_id_on_ties():
    # Three cells, far apart: 2 against 1, a tie of 9 and 4, mostly unlabeled.
    xyz = np.repeat([[5.0, 0, 0], [20, 1, 0], [35, 2, 0]], 3, axis=0)
    points = np.column_stack((xyz, np.zeros(9))).astype(np.float32)
    labels = np.array([13, 9, 13, 9, 4, 4, 0, 0, 5], np.uint8)
    labels[5] = 9
    keep = np.array([0, 1, 2, 3, 4, 6, 7, 8])
    batch = make_batch([Example.of_scan(points[keep], labels[keep])], GRID)
    assert batch.voxel_labels_V.tolist() == [13, 4, 0]
    assert batch.point_labels_P.tolist() == labels[keep].tolist()


def test_a_batch_says_of_each_point_its_object_and_whether_it_is_of_the_current_scan(folder):
    first, second = folder.example(0), folder.example(1)
    fused = Example.joined([second, replace(first, is_current=np.zeros(len(first), bool))])
    batch = make_batch([first, fused], GRID)
    assert batch.instances_P.tolist() == [*first.instances, *second.instances, *first.instances]
    assert set(batch.instances_P.tolist()) == {0, 7}
    assert batch.is_current_P.tolist() == [True] * 4000 + [False] * 2000
    assert stream_of(folder).batch(0).is_current_P.all()


def test_points_that_the_segmenter_does_not_label_are_left_out():
    odd = [
        [0, 0, 0, 0.5],
        [np.nan, 1, 1, 0],
        [1, np.inf, 1, 0],
        [2e4, 1, 1, 0],
        [1, 1, 1, np.inf],
        [0, 0, 1e-9, np.nan],
    ]
    points = np.concatenate((random_scan(np.random.default_rng(0))[0], np.array(odd, np.float32)))
    kept, numbers = usable_points(points, np.arange(len(points)))
    segmenter = Segmenter(build_model(TINY_MODEL))
    assert numbers.tolist() == np.flatnonzero(segmenter.segment(points).labels).tolist()
    assert len(points) - len(kept) == 4
    assert kept[-2:].tolist() == [[1, 1, 1, 0], [0, 0, np.float32(1e-9), 0]]


def test_scan_without_usable_points_is_named(tmp_path):
    write_scan(tmp_path, "00", "000000", np.zeros((5, 4)), np.zeros(5))
    stream = stream_of(ScanFolder(tmp_path, "train"), batch_size=1)
    with pytest.raises(UserError, match=r"000000\.bin has 0 usable points"):
        stream.batch(0)


def test_error_in_a_prefetch_thread_reaches_the_caller_in_its_turn():
    def square(number):
        if number == 3:
            raise UserError("scan 3 is broken")
        return number**2

    results = prefetched(square, range(10), num_workers=2)
    assert [next(results) for _ in range(3)] == [0, 1, 4]
    with pytest.raises(UserError, match="scan 3 is broken"):
        next(results)


def test_prefetch_stays_within_its_bound_and_leaves_no_thread():
    started, num_before = [], threading.active_count()
    results = prefetched(started.append, range(1000), num_workers=2)
    for _ in range(10):
        next(results)
    assert len(started) <= 10 + 2 * 2 + 1
    results.close()
    assert threading.active_count() == num_before


def test_prefetch_keeps_the_number_of_torch_threads_of_its_user():
    before = torch.get_num_threads()
    seen = list(prefetched(lambda _: torch.get_num_threads(), range(4), num_workers=2))
    assert seen == [1, 1, 1, 1]
    assert torch.get_num_threads() == before


def test_mixed_batches_depend_on_their_number_only(folder):
    mixing = MixingConfig(laser_mix=0.5, polar_mix=0.5, paste_objects=3)
    in_order = [stream_of(folder, mixing=mixing).batch(number) for number in range(4)]
    backwards = stream_of(folder, mixing=mixing)
    for number in reversed(range(4)):
        assert is_same(backwards.batch(number), in_order[number])
    assert not any(is_same(stream_of(folder).batch(number), in_order[number]) for number in range(4))


def test_objects_to_paste_come_from_the_training_scans_by_their_instance_ids(tmp_path):
    generator = np.random.default_rng(0)
    points, raw = random_scan(generator)
    # The boxes are persons now, each scan with one of its own; those of scan 2 carry no instance id.
    for frame, instance in enumerate((1, 2, 0)):
        write_scan(tmp_path, "00", f"{frame:06d}", points, np.where(raw > 60, 30 | instance << 16, raw))
    folder = ScanFolder(tmp_path, "train")
    assert len(FolderStream(folder, range(3), 0).objects(0)) == 2
    assert len(FolderStream(folder, [0, 2], 0).objects(0)) == 1
    assert len(FolderStream(folder, range(3), 0, bank_scans=1).objects(0)) == 1
