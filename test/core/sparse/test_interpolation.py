"""Trilinear interpolation and means against dense loops: values, gradients, missing sites, nothing at all."""

import itertools

import pytest
import torch
from random_coords import random_coords

from pvd_core.sparse import Sites
from pvd_core.sparse.interpolation import mean_of_rows, trilinear

SHAPE = (6, 5, 4)


def random_sites(num_sites):
    return Sites(random_coords(num_sites, SHAPE), SHAPE, 2)


def random_positions(num_points, dtype=torch.float64):
    """Some beyond the border of the grid, some on whole cells."""
    generator = torch.Generator().manual_seed(1)
    indices = torch.rand(num_points, 3, generator=generator, dtype=dtype) * torch.tensor([7, 6, 5]) - 0.5
    indices[::4] = indices[::4].round()
    scans = torch.randint(0, 2, (num_points, 1), generator=generator)
    return torch.cat((scans.to(dtype), indices), dim=1)


def interpolated(features, sites, positions):
    """(N, C), one corner after the other."""
    row_of_cell = {tuple(cell): row for row, cell in enumerate(sites.coords_V4.tolist())}
    results = []
    for scan, *indices in positions.tolist():
        sums, total = torch.zeros(features.shape[1], dtype=features.dtype), 0.0
        for steps in itertools.product(range(2), repeat=3):
            cell = [int(index // 1) + step for index, step in zip(indices, steps, strict=True)]
            weight = 1.0
            for index, place in zip(indices, cell, strict=True):
                weight *= 1 - abs(index - place)
            row = row_of_cell.get((int(scan), *cell))
            if row is not None:
                sums, total = sums + weight * features[row], total + weight
        results.append(sums / (total + 1e-8))
    return torch.stack(results)


@pytest.mark.parametrize("num_sites", [1, 40, 240])
def test_interpolation_weighs_the_eight_sites_around_and_leaves_out_missing_ones(num_sites):
    sites, positions = random_sites(num_sites), random_positions(200)
    features = torch.randn(num_sites, 3, dtype=torch.float64)

    interpolation = trilinear(sites, positions)

    found, expected = interpolation.apply(features), interpolated(features, sites, positions)
    assert (found - expected).abs().max() < 1e-6  # weights are float32
    sums = interpolation.weights_N8.sum(dim=1)
    assert interpolation.weights_N8.dtype == torch.float32
    assert ((sums - 1).abs().lt(1e-5) | (sums == 0)).all()
    assert (interpolation.rows_N8[interpolation.weights_N8 == 0] == 0).all()


def test_interpolation_at_the_sites_themselves_gives_their_features_to_the_bit():
    sites = random_sites(40)
    features = torch.randn(40, 3)
    assert torch.equal(trilinear(sites, sites.coords_V4.float()).apply(features), features)


def test_gradients_of_interpolation_and_means_equal_finite_differences():
    sites, positions = random_sites(12), random_positions(20)
    interpolation = trilinear(sites, positions)
    features = torch.randn(12, 2, dtype=torch.float64, requires_grad=True)
    rows = torch.tensor([3, -1, 0, 0, 3, 5, -1, 3, 0, 5, 5, 1])

    assert torch.autograd.gradcheck(interpolation.apply, (features,))
    assert torch.autograd.gradcheck(lambda values: mean_of_rows(values, rows, 7), (features,))


def test_means_leave_out_points_without_a_row_and_are_0_where_there_is_no_point():
    features = torch.arange(10.0).view(5, 2)
    rows = torch.tensor([2, -1, 0, 2, 2])

    means = mean_of_rows(features, rows, 4)

    torch.testing.assert_close(means, torch.tensor([[4, 5], [0, 0], [14 / 3, 17 / 3], [0, 0]]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_features_are_summed_in_float32(dtype):
    features = torch.randn(1000, 2).to(dtype)
    rows = torch.zeros(1000, dtype=torch.int64)
    assert torch.equal(mean_of_rows(features, rows, 1), mean_of_rows(features.float(), rows, 1).to(dtype))
    interpolation = trilinear(random_sites(240), random_positions(50))
    assert torch.equal(interpolation.apply(features[:240]), interpolation.apply(features[:240].float()).to(dtype))


def test_no_sites_and_no_points_give_zeros_and_nothing():
    none, some = random_sites(0), random_sites(7)
    features = torch.randn(7, 3, requires_grad=True)

    assert trilinear(none, random_positions(5)).apply(features[:0]).tolist() == [[0, 0, 0]] * 5
    nothing = trilinear(some, random_positions(0)).apply(features)
    no_rows = mean_of_rows(features[:0], torch.zeros(0, dtype=torch.int64), 0)
    no_points = mean_of_rows(features[:0], torch.zeros(0, dtype=torch.int64), 2)

    (nothing.sum() + no_rows.sum() + no_points.sum()).backward()
    assert nothing.shape == no_rows.shape == (0, 3)
    assert no_points.tolist() == [[0, 0, 0]] * 2
    assert not features.grad.any()
