import numpy as np
import pytest
import torch

from pvd_core.segmenter import Segmenter
from pvd_core.voxels import CylindricalGrid, majority_labels, max_of_points


def random_points(num_points, seed=0, spread_m=60.0):
    generator = torch.Generator().manual_seed(seed)
    points = (torch.rand(num_points, 4, generator=generator) * 2 - 1) * spread_m
    points[:, 2] /= 10
    points[:, 3] = torch.rand(num_points, generator=generator)
    return points


def test_indices_follow_the_published_formula_in_float64():
    points = random_points(5000)
    grid = CylindricalGrid()

    indices = grid.indices(grid.cylindrical(points)).numpy()

    x, y, z = points[:, :3].numpy().T
    minimum, maximum = np.array([0, -3.1415926, -4]), np.array([50, 3.1415926, 2])
    interval = (maximum - minimum) / (np.array([480, 360, 32]) - 1)
    cylindrical = np.stack((np.sqrt(x * x + y * y), np.arctan2(y, x), z), axis=1)
    expected = np.floor((np.clip(cylindrical, minimum, maximum) - minimum) / interval)
    assert np.array_equal(indices, expected)


def test_points_outside_the_grid_are_clamped_into_border_cells():
    points = torch.tensor([[80.0, 0.0, 5.0, 0.5], [0.0, 0.0, -9.0, 0.5]])
    grid = CylindricalGrid()

    indices = grid.indices(grid.cylindrical(points))

    assert indices[0].tolist()[0::2] == [479, 31]
    assert indices[1].tolist()[0::2] == [0, 0]


@pytest.mark.parametrize(("z", "bounded"), [(-9000.0, -104.0), (9000.0, 102.0), (-103.0, -103.0), (1e30, 102.0)])
def test_heights_far_outside_the_grid_count_as_a_hundred_metres_outside(z, bounded):
    grid, points = CylindricalGrid(), random_points(200)
    far, near = points.clone(), points.clone()
    far[0, 2], near[0, 2] = z, bounded

    found, expected = grid.voxelise([far]), grid.voxelise([near])

    assert torch.equal(found.point_features_PF, expected.point_features_PF)
    assert torch.equal(found.coords_V4, expected.coords_V4)


def test_stray_points_kilometres_below_change_few_labels_of_the_shipped_cylinder3d(shared_data):
    segmenter = Segmenter.from_weights("cylinder3d", "cpu")
    points = np.fromfile(shared_data / "semantickitti/sequences/08/velodyne/000000.bin", "<f4").reshape(-1, 4)
    stray = np.random.default_rng(0).uniform(-30, 30, (50, 4)).astype(np.float32) * [1, 1, 0, 0] + [0, 0, -9000, 0]
    labels = segmenter.segment(points).labels
    beside = segmenter.segment(np.concatenate((points, stray.astype(np.float32)))).labels[: len(points)]
    assert np.mean(labels != beside) < 0.02  # 10 % where heights are not bounded


def test_voxels_are_distinct_sorted_and_hold_their_points():
    scans = [random_points(3000, seed=1), random_points(0), random_points(2000, seed=2)]
    grid = CylindricalGrid(shape=(48, 36, 8))

    batch = grid.voxelise(scans)

    per_scan = [
        np.column_stack((np.full(len(scan), i), grid.indices(grid.cylindrical(scan)).numpy()))
        for i, scan in enumerate(scans)
    ]
    coords_of_points = np.concatenate(per_scan)
    expected, inverse, counts = np.unique(coords_of_points, axis=0, return_inverse=True, return_counts=True)
    assert np.array_equal(batch.coords_V4.numpy(), expected)
    assert np.array_equal(batch.point_to_voxel_P.numpy(), inverse.ravel())
    assert np.array_equal(batch.num_points_V.numpy(), counts)
    assert batch.num_points_per_scan == (3000, 0, 2000)


@pytest.mark.parametrize("num_points", [0, 1])
def test_tiny_clouds_are_voxelised(num_points):
    batch = CylindricalGrid().voxelise([random_points(num_points)])

    assert batch.num_voxels == num_points
    assert batch.point_features_PF.shape == (num_points, 9)


def test_majority_takes_the_most_frequent_label_and_the_smallest_on_ties():
    point_to_voxel = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2])
    labels = torch.tensor([5, 5, 3, 9, 4, 0, 0, 7])

    assert majority_labels(labels, point_to_voxel, 3).tolist() == [5, 4, 0]


def test_majority_equals_a_brute_force_count():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 20, (5000,), generator=generator)
    point_to_voxel = torch.randint(0, 800, (5000,), generator=generator)

    result = majority_labels(labels, point_to_voxel, 800, num_classes=20)

    expected = [np.bincount(labels[point_to_voxel == voxel].numpy(), minlength=20).argmax() for voxel in range(800)]
    assert result.tolist() == expected


def test_max_of_points_and_its_gradient_equal_a_loop():
    batch = CylindricalGrid(shape=(12, 9, 4)).voxelise([random_points(400)])
    features = torch.randn(400, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    direction = torch.randn(batch.num_voxels, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    result = max_of_points(features, batch)
    (gradient,) = torch.autograd.grad((result * direction).sum(), features)

    rows = [features[batch.point_to_voxel_P == voxel].max(dim=0).values for voxel in range(batch.num_voxels)]
    expected = torch.stack(rows)
    (expected_gradient,) = torch.autograd.grad((expected * direction).sum(), features)
    assert torch.equal(result, expected)
    assert (gradient - expected_gradient).abs().max() < 1e-12


def test_gradient_of_the_maximum_is_shared_by_equal_points():
    batch = CylindricalGrid().voxelise([torch.tensor([[5.0, 0.0, 0.0, 0.1]] * 4)])
    features = torch.ones(4, 1, requires_grad=True)

    max_of_points(features, batch).sum().backward()

    assert features.grad.flatten().tolist() == [0.25] * 4
