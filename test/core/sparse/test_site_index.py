"""Sites are found by their cells, whatever they are looked up in: a table of all cells or sorted keys."""

import subprocess
import sys

import pytest
import torch
from random_coords import random_coords

from pvd_core.borders.errors import UserError
from pvd_core.native import library
from pvd_core.sparse import Sites
from pvd_core.sparse.cell_keys import reached_cells
from pvd_core.sparse.cell_table import CellTable
from pvd_core.sparse.site_index import MOST_TABLE_CELLS, site_index
from pvd_core.sparse.sorted_cells import SortedCells

SHAPES = ((9, 7, 6), (5, 1, 1), (1, 6, 64), (2, 2, 63))
STRIDES = ((2, 2, 2), (2, 2, 1), (1, 1, 1), (1, 2, 2))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("share", [0, 1, 0.3, 1.0])
def test_sorted_keys_give_what_the_table_gives(shape, stride, share):
    num_cells = 2 * shape[0] * shape[1] * shape[2]
    coords = random_coords(share if isinstance(share, int) else int(share * num_cells), shape)
    found, expected = SortedCells(coords, shape, 2), CellTable(coords, shape, 2)
    coarse_shape = tuple((size - 1) // step + 1 for size, step in zip(shape, stride, strict=True))
    coarse = reached_cells(coords, stride, coarse_shape)

    assert torch.equal(found.look_up(coords, (1, 1, 1)), expected.look_up(coords, (1, 1, 1)))
    assert torch.equal(coarse, expected.coarse_coords(stride, coarse_shape))
    assert torch.equal(found.look_up(coarse, stride), expected.look_up(coarse, stride))


@pytest.mark.parametrize("index", [CellTable, SortedCells])
@pytest.mark.parametrize("num_sites", [0, 1, 100])
def test_find_gives_the_row_of_each_site_and_no_row_for_empty_cells_and_cells_outside(index, num_sites):
    coords = random_coords(num_sites, (4, 5, 6))
    cells = torch.cartesian_prod(torch.arange(-2, 5), torch.arange(-2, 7), torch.arange(-2, 8), torch.arange(-2, 9))
    row_of_cell = {tuple(cell): row for row, cell in enumerate(coords.tolist())}

    found = index(coords, (4, 5, 6), 2).find(cells)

    assert found.tolist() == [row_of_cell.get(tuple(cell), -1) for cell in cells.tolist()]


def test_grids_with_too_many_cells_for_a_table_are_searched_by_keys():
    none = torch.zeros(0, 4, dtype=torch.int64)
    size = MOST_TABLE_CELLS // (1 << 14) // 2 - 2
    assert isinstance(site_index(none, (126, 126, size), 2), CellTable)
    assert isinstance(site_index(none, (126, 126, size + 1), 2), SortedCells)


def test_convolutions_on_a_grid_of_any_extent_are_those_on_a_small_one():
    """The same sites, with one more in the farthest corner of a grid of 4e17 cells, which meets none of them."""
    coords, far = random_coords(150, (9, 7, 6)), (1 << 20, 1 << 19, 1 << 18)
    corner = torch.tensor([[1, *(size - 1 for size in far)]])
    small, large = Sites(coords, (11, 9, 9), 2), Sites(torch.cat((coords, corner)), far, 2)

    for kernel, stride in (((3, 3, 3), (1, 1, 1)), ((3, 3, 3), (2, 2, 2)), ((2, 2, 2), (2, 2, 2))):
        pairs = [
            {tuple(pair) for pair in zip(*(index.tolist() for index in (m.in_index_M, m.out_index_M)), strict=True)}
            for m in (small.map(kernel, stride), large.map(kernel, stride))
        ]
        assert {pair for pair in pairs[1] if pair[0] < 150} == pairs[0]
        assert torch.equal(
            large.coarse(kernel, stride).coords_V4[: len(small.coarse(kernel, stride).coords_V4)],
            small.coarse(kernel, stride).coords_V4,
        )
    assert large.find(torch.cat((corner, corner - 1))).tolist() == [150, -1]


def test_more_cells_or_sites_than_can_be_numbered_are_refused_with_the_numbers():
    with pytest.raises(
        UserError, match=r"over 2,097,152 x 2,097,152 x 2,097,152 cells in 1 scans.*far from the others"
    ):
        Sites(torch.zeros(0, 4, dtype=torch.int64), (1 << 21, 1 << 21, 1 << 21), 1)
    with pytest.raises(UserError, match="268,435,457 occupied cells: at most 268,435,456"):
        Sites(torch.zeros(1, 4, dtype=torch.int64).expand((1 << 28) + 1, 4), (1, 1, 1), 1)


_ALL_MAPS = """
import resource, sys, torch
from pvd_core.sparse import Sites
from pvd_core.sparse.backends import load_backend

def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

keys = torch.randint(0, 4000 * 4000 * 60, (1_000_000,), generator=torch.Generator().manual_seed(0)).unique()
coords = torch.stack((torch.zeros_like(keys), keys // 240_000, keys // 60 % 4000, keys % 60), dim=1)
del keys
sites, before = Sites(coords, (4000, 4000, 400), 1, load_backend(sys.argv[1])), peak_mb()
sites.map((3, 3, 3)).tap_rows
for _ in range(4):
    blocks = sites.map((2, 2, 2), (2, 2, 2))
    blocks.tap_rows, blocks.transposed.tap_rows
    sites = sites.coarse((2, 2, 2), (2, 2, 2))
    sites.map((3, 3, 3)).tap_rows
print(int(peak_mb() - before))
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["reference", "native"])
def test_all_maps_of_a_million_sites_in_200_m_at_5_cm_take_less_than_600_mb(backend):
    """A table of the cells of the first level alone would take 26 GB."""
    if backend == "native" and not library.status()[0]:
        pytest.skip(f"native engine: {library.status()[1]}")
    result = subprocess.run(
        [sys.executable, "-c", _ALL_MAPS, backend], capture_output=True, text=True, check=True, timeout=600
    )
    assert int(result.stdout) < 600
