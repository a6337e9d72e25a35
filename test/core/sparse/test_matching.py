"""Sites of two sets in the same cells."""

import pytest
import torch

from pvd_core.sparse import Sites
from pvd_core.sparse.matching import matching_rows

A = torch.tensor([[0, 1, 2, 3], [0, 4, 0, 0], [1, 1, 2, 3], [1, 2, 2, 2]])
B = torch.tensor([[0, 0, 0, 0], [0, 1, 2, 3], [1, 2, 2, 2]])


def sites(coords_V4, shape=(5, 4, 4)):
    return Sites(coords_V4, shape, batch_size=2)


def test_rows_are_those_of_the_same_scan_and_cell():
    assert matching_rows(sites(A), sites(B)).tolist() == [1, -1, -1, 2]
    assert matching_rows(sites(B), sites(A)).tolist() == [-1, 0, 3]


@pytest.mark.parametrize("stride", [(2, 2, 2), (2, 2, 1)])
def test_coarse_sites_match_like_fine_ones(stride):
    coarse_a, coarse_b = (sites(each).coarse((3, 3, 3), stride) for each in (A, B))
    rows = matching_rows(coarse_a, coarse_b).tolist()
    cells = [tuple(cell) for cell in coarse_b.coords_V4.tolist()]
    expected = [cells.index(tuple(c)) if tuple(c) in cells else -1 for c in coarse_a.coords_V4.tolist()]
    assert rows == expected
    assert max(rows) >= 0


def test_indices_counted_from_another_lowest_cell_are_shifted_scan_by_scan():
    shift_B3 = torch.tensor([[1, 0, 0], [0, 0, 0]])
    moved = sites(A + torch.tensor([[0, 1, 0, 0]]) * (A[:, :1] == 0), (6, 4, 4))
    assert matching_rows(sites(A), moved, shift_B3).tolist() == [0, 1, 2, 3]


def test_a_shift_is_told_in_cells_of_the_finest_level_and_holds_on_coarser_ones():
    shift_B3 = torch.tensor([[4, 0, 8], [0, 4, 0]])
    moved = A.clone()
    moved[:, 1:] += shift_B3[A[:, 0]]
    here, there = sites(A), sites(moved, (9, 8, 12))
    for stride, scale in ((None, (1, 1, 1)), ((2, 2, 2), (2, 2, 2)), ((2, 2, 1), (4, 4, 2)), ((1, 1, 2), (4, 4, 4))):
        if stride is not None:
            here, there = here.coarse(stride, stride), there.coarse(stride, stride)
        assert here.scale == there.scale == scale
        # Sites are sorted, and a shift keeps their order.
        assert matching_rows(here, there, shift_B3).tolist() == list(range(here.num_sites)) != []
        assert matching_rows(there, here, -shift_B3).tolist() == list(range(here.num_sites))


def test_a_set_without_sites_matches_nothing():
    assert matching_rows(sites(A), sites(A[:0])).tolist() == [-1] * 4
    assert matching_rows(sites(A[:0]), sites(A)).tolist() == []
