"""Sites with a fixed number of rows against plain Sites, on grids with a table of cells and on larger ones."""

import math

import pytest
import torch
from random_coords import random_coords
from waiting_operations import WAITING, Operations

from pvd_core.programs.cells import PaddedGrid
from pvd_core.programs.fixed_sites import FixedSites
from pvd_core.programs.numbered import MarkedCells, SortedKeys, number_cells
from pvd_core.sparse import Sites
from pvd_core.sparse.backends import reference
from pvd_core.sparse.interpolation import mean_of_rows, trilinear

KERNELS = ((1, 3, 3), (3, 1, 3), (3, 3, 3), (3, 1, 1), (1, 3, 1), (1, 1, 3))
STRIDED = (((3, 3, 3), (2, 2, 2)), ((3, 3, 3), (2, 2, 1)), ((2, 2, 2), (2, 2, 2)))  # (kernel, stride)


@pytest.fixture(params=[MarkedCells, SortedKeys])
def numbering(request, monkeypatch):
    """Each way of numbering cells, whatever the size of the grid."""
    monkeypatch.setattr("pvd_core.programs.fixed_sites.number_cells", request.param.of)


def padded_keys(coords, shape):
    """Keys of all cells, some of them twice, in any order, with padding behind."""
    generator = torch.Generator().manual_seed(0)
    coords = torch.cat((coords, coords[:20], coords))[:, 1:]
    coords = coords[torch.randperm(len(coords), generator=generator)]
    is_real = torch.ones(len(coords), dtype=torch.bool)
    keys = PaddedGrid(shape).keys(coords.unbind(1), is_real)
    return torch.nn.functional.pad(keys, (0, 30), value=PaddedGrid(shape).padding_key)


def assert_same_maps(fixed, plain):
    """On every level; `fixed` has more rows."""
    for down, stride in STRIDED:
        for kernel in KERNELS:
            table, expected = fixed.map(kernel).table(), plain.map(kernel).table()
            assert torch.equal(table[:, : plain.num_sites], expected)
            assert (table[:, plain.num_sites :] == -1).all()
        for one, other in (
            (fixed.map(down, stride), plain.map(down, stride)),
            (fixed.map(down, stride).transposed, plain.map(down, stride).transposed),
        ):
            assert torch.equal(one.table()[:, : other.num_out], other.table())
            assert (one.table()[:, other.num_out :] == -1).all()
        plain, fixed = plain.coarse(down, stride), fixed.coarse(down, stride)


@pytest.mark.parametrize("shape", [(9, 7, 6), (8, 6, 4)])
@pytest.mark.parametrize("num_sites", [0, 1, 90])
def test_kernel_maps_equal_those_of_plain_sites_on_every_level(shape, num_sites, numbering):
    coords = random_coords(num_sites, shape, batch_size=1)
    fixed = FixedSites(padded_keys(coords, shape), shape, (120, 110, 100, 50), reference)
    assert_same_maps(fixed, Sites(coords, shape, 1))


@pytest.mark.parametrize("num_sites", [0, 1, 90])
def test_sites_are_found_as_plain_sites_find_them(num_sites, numbering):
    coords = random_coords(num_sites, (5, 6, 4), batch_size=1)
    cells = torch.cartesian_prod(*(torch.arange(-2, size + 2) for size in (1, 5, 6, 4)))
    fixed = FixedSites(padded_keys(coords, (5, 6, 4)), (5, 6, 4), (100,), reference)
    assert torch.equal(fixed.find(cells), Sites(coords, (5, 6, 4), 1).find(cells))


def test_rows_know_their_cells_and_padding_is_in_no_scan(numbering):
    coords = random_coords(90, (9, 7, 6), batch_size=1)
    fixed = FixedSites(padded_keys(coords, (9, 7, 6)), (9, 7, 6), (100,), reference)
    assert torch.equal(fixed.coords_V4[:90], coords)
    assert (fixed.coords_V4[90:, 0] == -1).all()
    assert (fixed.find(fixed.coords_V4[90:]) == -1).all()


@pytest.mark.parametrize("num_rows", [1, 2, 50, 90, 91, 92])
def test_both_ways_of_numbering_keep_the_same_cells_and_count_all(num_rows):
    shape = (9, 7, 6)
    keys, grid = padded_keys(random_coords(90, shape, batch_size=1), shape), PaddedGrid(shape)
    marked, by_key = MarkedCells.of(keys, grid, num_rows), SortedKeys.of(keys, grid, num_rows)

    every_key = torch.arange(grid.length)
    assert torch.equal(marked.keys_V, by_key.keys_V)
    assert torch.equal(marked.find(every_key), by_key.find(every_key))
    assert marked.num_cells == by_key.num_cells == 90


def test_a_grid_too_large_for_a_table_has_its_cells_sorted_and_the_same_maps():
    shape = (4000, 4000, 400)
    coords = random_coords(90, (9, 7, 6), batch_size=1)
    coords[60:, 1:] += torch.tensor(shape) - torch.tensor((9, 7, 6))
    fixed = FixedSites(padded_keys(coords, shape), shape, (120, 130, 130, 70), reference)

    assert math.prod(shape) > 1 << 32
    assert isinstance(number_cells(torch.zeros(0, dtype=torch.int64), PaddedGrid(shape), 2), SortedKeys)
    assert isinstance(number_cells(torch.zeros(0, dtype=torch.int64), PaddedGrid((480, 360, 32)), 2), MarkedCells)
    assert_same_maps(fixed, Sites(coords, shape, 1))


def test_maps_and_interpolation_do_not_wait_for_the_device(numbering):
    coords = random_coords(90, (9, 7, 6), batch_size=1)
    features = torch.randn(120, 3)
    keys = padded_keys(coords, (9, 7, 6))
    with Operations() as operations:
        fixed = FixedSites(keys, (9, 7, 6), (120, 110, 100), reference)
        fixed.map((3, 3, 3)).table()
        for kernel, stride in STRIDED:
            fixed.map(kernel, stride).transposed.table()
        trilinear(fixed, coords + 0.25).apply(features)
        mean_of_rows(features[:90], fixed.find(coords), fixed.num_sites)
    assert not operations.names & set(WAITING)
    assert operations.names & {"index_fill_", "sort"}
