"""Sites of large grids looked up by the library: as the torch code looks them up, to the bit."""

import pytest
import torch
from random_coords import random_coords

from pvd_core.native import library
from pvd_core.sparse import Sites
from pvd_core.sparse.backends import reference
from pvd_core.sparse.blocks import Blocks
from pvd_core.sparse.cell_keys import reached_cells
from pvd_core.sparse.cell_table import CellTable
from pvd_core.sparse.sorted_cells import SortedCells
from pvd_core.sparse.tap_rows import transposed_rows

if not library.status()[0]:
    pytest.skip(f"native engine: {library.status()[1]}", allow_module_level=True)

from pvd_core.native.cells import NativeCells
from pvd_core.native.sorted_cells import NativeSortedCells
from pvd_core.sparse.backends import native

SHAPES = ((9, 7, 6), (5, 1, 1), (1, 6, 70), (2, 2, 130))
STRIDES = ((1, 1, 1), (2, 2, 2), (2, 2, 1), (1, 2, 2))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("share", [0, 1, 0.1, 0.5, 1.0])
def test_sites_around_sites_and_the_way_back_are_those_of_the_table(shape, stride, share):
    num_cells = 2 * shape[0] * shape[1] * shape[2]
    coords = random_coords(share if isinstance(share, int) else int(share * num_cells), shape)
    coarse_shape = tuple((size - 1) // step + 1 for size, step in zip(shape, stride, strict=True))
    centres = reached_cells(coords, stride, coarse_shape)

    rows = NativeSortedCells(coords, shape, 2).look_up(centres, stride)

    assert torch.equal(rows, CellTable(coords, shape, 2).look_up(centres, stride))
    back = NativeSortedCells(centres, coarse_shape, 2).look_back(coords, stride)
    assert torch.equal(back, transposed_rows(rows, 3, len(coords)))


def test_centres_in_any_order_are_looked_up():
    coords = random_coords(300, (9, 7, 80))
    order = torch.randperm(300, generator=torch.Generator().manual_seed(0))
    index = NativeSortedCells(coords, (9, 7, 80), 2)
    assert torch.equal(index.look_up(coords[order], (1, 1, 1)), index.look_up(coords, (1, 1, 1))[:, order])


@pytest.mark.parametrize("index", [NativeSortedCells, NativeCells])
@pytest.mark.parametrize("num_sites", [0, 1, 100, 240])
def test_find_gives_what_the_table_gives_also_outside_the_grid(index, num_sites):
    coords = random_coords(num_sites, (4, 5, 6))
    cells = torch.cartesian_prod(torch.arange(-2, 5), torch.arange(-2, 7), torch.arange(-2, 8), torch.arange(-2, 9))
    cells = torch.cat((cells, torch.tensor([[0, 1 << 40, 0, 0], [-(1 << 40), 0, 0, 0], [0, 0, 0, (1 << 32) + 1]])))
    assert torch.equal(index(coords, (4, 5, 6), 2).find(cells), CellTable(coords, (4, 5, 6), 2).find(cells))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("stride", [*STRIDES, (2, 1, 1), (1, 1, 2)])
@pytest.mark.parametrize("share", [0, 1, 0.1, 1.0])
def test_blocks_are_those_of_torch(shape, stride, share):
    num_cells = 2 * shape[0] * shape[1] * shape[2]
    coords = random_coords(share if isinstance(share, int) else int(share * num_cells), shape)
    coarse_shape = tuple((size - 1) // step + 1 for size, step in zip(shape, stride, strict=True))
    found, expected = native.blocks(coords, stride, coarse_shape), Blocks.of(coords, stride, coarse_shape)
    for name in ("coarse_C4", "coarse_of_site_V", "tap_of_site_V", "num_taps"):
        one, other = getattr(found, name), getattr(expected, name)
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other
    assert torch.equal(found.tap_rows(), expected.tap_rows())
    assert torch.equal(found.tap_rows_back(), expected.tap_rows_back())


def test_a_large_grid_has_no_table_and_a_small_one_has():
    none = torch.zeros(0, 4, dtype=torch.int64)
    for shape, index in (
        ((480, 360, 32), NativeCells),
        ((480, 360, 65), NativeSortedCells),
        ((4000, 4000, 60), NativeSortedCells),
        ((10, 10, 1 << 31), SortedCells),
    ):
        assert isinstance(native.site_index(none, shape, 2), index), shape


@pytest.mark.parametrize("num_threads", [1, 2])
def test_all_maps_of_a_large_scene_are_those_of_torch_for_any_number_of_threads(num_threads):
    """A ground, walls and single cells in 200 x 200 x 20 m at 5 cm, as large as needs several tasks."""
    generator = torch.Generator().manual_seed(0)
    shape = (4000, 4000, 400)
    ground = torch.randint(1000, 1200, (15000, 2), generator=generator)
    ground = torch.cat((ground, 40 + ground.sum(1, keepdim=True) // 150), dim=1)
    wall = torch.cat((torch.randint(3990, 4000, (5000, 2)), torch.randint(0, 400, (5000, 1))), dim=1)
    single = torch.rand(1000, 3, generator=generator).mul(torch.tensor(shape)).long()
    cells = torch.cat((ground, wall, single))
    coords = torch.cat((torch.randint(0, 2, (len(cells), 1), generator=generator), cells), dim=1).unique(dim=0)
    threads = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    try:
        found, expected = (Sites(coords, shape, 2, backend) for backend in (native, reference))
        for kernel, stride in (((2, 2, 2), (2, 2, 2)), ((3, 3, 3), (2, 2, 2)), ((2, 2, 2), (2, 2, 2))):
            for sites in ([(3, 3, 3)], [(1, 3, 3)], [kernel, stride]):
                maps = found.map(*sites), expected.map(*sites)
                for one, other in (maps, [kernel_map.transposed for kernel_map in maps]):
                    assert torch.equal(one.table(), other.table())
                    assert torch.equal(one.tap_rows[0], other.tap_rows[0])
            found, expected = found.coarse(kernel, stride), expected.coarse(kernel, stride)
            assert torch.equal(found.coords_V4, expected.coords_V4)
    finally:
        torch.set_num_threads(threads)
