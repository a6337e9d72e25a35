"""Maps, voxels and reductions of the library are those of the torch code, to the bit."""

from types import SimpleNamespace

import pytest
import torch
from random_coords import random_coords

from pvd_core.models.output import SegmentationOutput
from pvd_core.native import calls, cells, library
from pvd_core.sparse import Sites
from pvd_core.sparse.cell_table import CellTable
from pvd_core.sparse.tap_rows import transposed_rows
from pvd_core.voxels import CylindricalGrid, max_of_points
from pvd_core.voxels.occupied import occupied_cells
from pvd_core.voxels.reductions import _maximum

if not library.status()[0]:
    pytest.skip(f"native engine: {library.status()[1]}", allow_module_level=True)

from pvd_core.sparse.backends import native

SHAPES = ((9, 7, 6), (5, 1, 1), (1, 6, 64), (12, 10, 33), (2, 2, 63))
STRIDES = ((2, 2, 2), (2, 2, 1), (1, 1, 1), (1, 2, 2))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("share", [0, 1, 0.3, 1.0])
def test_sites_around_sites_and_coarse_sites_are_those_of_the_table(shape, stride, share):
    num_cells = 2 * shape[0] * shape[1] * shape[2]
    coords = random_coords(share if isinstance(share, int) else int(share * num_cells), shape)
    found, expected = cells.NativeCells(coords, shape, 2), CellTable(coords, shape, 2)
    assert torch.equal(found.look_up(coords, (1, 1, 1)), expected.look_up(coords, (1, 1, 1)))
    coarse_shape = tuple((size - 1) // step + 1 for size, step in zip(shape, stride, strict=True))
    coarse = found.coarse_coords(stride, coarse_shape)
    assert torch.equal(coarse, expected.coarse_coords(stride, coarse_shape))
    rows = found.look_up(coarse, stride)
    assert torch.equal(rows, expected.look_up(coarse, stride))


def test_grids_with_too_many_cells_along_z_are_left_to_torch():
    assert cells.fits((480, 360, 64))
    assert not cells.fits((480, 360, 65))


@pytest.mark.parametrize("stride", [stride for stride in STRIDES if stride != (1, 1, 1)])
def test_the_map_back_is_the_transposed_map(stride):
    shape = (9, 7, 10)
    sites = Sites(random_coords(300, shape), shape, 2, native)
    kernel_map = sites.map((3, 3, 3), stride)
    back = kernel_map.transposed.tap_rows[0]
    assert torch.equal(back, transposed_rows(kernel_map.tap_rows[0], 3, sites.num_sites))


SMALL = (20, 16, 5), (1.0, 9.0), (-1.0, 1.5)
PROGRESSIVE = CylindricalGrid(*SMALL, "progressive", 0.02)


@pytest.mark.parametrize("grid", [CylindricalGrid(), CylindricalGrid(*SMALL), PROGRESSIVE])
def test_voxels_are_those_of_torch_to_the_bit(grid, monkeypatch):
    scans = [torch.randn(size, 4, generator=torch.Generator().manual_seed(size)) * 9 for size in (0, 5000, 1, 777)]
    # Points on the borders of cells, on the axis, far outside.
    scans[2] = torch.tensor([[0.0, 0, 0, 0]])
    scans.append(torch.tensor([[500.0, 0, 100, 1], [-0.1, -0.0, -4, 0], [49.99999, 0, 2, 0.5], [-3, 0.0, 1.5, 0]]))
    found = grid.voxelise(scans)
    monkeypatch.setattr(library, "status", lambda: (False, ""))
    expected = grid.voxelise(scans)
    for name in ("point_features_PF", "coords_V4", "point_to_voxel_P", "num_points_V"):
        assert torch.equal(getattr(found, name), getattr(expected, name)), name
    assert found.num_points_per_scan == expected.num_points_per_scan


def test_results_are_float32_whatever_the_default():
    """Training in float64 makes that the default for new tensors."""
    torch.set_default_dtype(torch.float64)
    try:
        scores = torch.randn(5, 4, dtype=torch.float32)
        batch = CylindricalGrid().voxelise([scores])
        found = batch.point_features_PF, cells.labels(scores)[1], _maximum(scores, torch.arange(5), 5)
        gradient = calls.weight_gradient(scores, scores, calls.TapRows(torch.zeros(1, 5, dtype=torch.int32), 1))
    finally:
        torch.set_default_dtype(torch.float32)
    assert {tensor.dtype for tensor in (*found, gradient)} == {torch.float32}


def test_maximum_of_points_is_that_of_torch_with_nan_and_infinity(monkeypatch):
    features = torch.randn(3000, 19)
    features[5, 3], features[6, 4], features[7] = torch.nan, torch.inf, -torch.inf
    voxel = torch.cat((torch.arange(40), torch.randint(0, 40, (2960,))))
    found = _maximum(features, voxel, 40)
    monkeypatch.setattr(library, "status", lambda: (False, ""))
    assert torch.equal(found.nan_to_num(nan=7.5), _maximum(features, voxel, 40).nan_to_num(nan=7.5))
    assert found.isnan().sum() == 1
    assert (cells.maximum(features[:40], voxel[:40], 42)[40:] == -torch.inf).all()
    empty = cells.maximum(features[:0], voxel[:0], 0)
    assert empty.shape == (0, 19)


def test_gradient_of_the_maximum_is_that_of_torch(monkeypatch):
    features = torch.randint(-3, 3, (3000, 19)).float()  # many points share a maximum
    features[5, 3] = torch.nan
    voxel = torch.cat((torch.arange(40), torch.randint(0, 40, (2960,))))
    batch, direction = SimpleNamespace(point_to_voxel_P=voxel, num_voxels=40), torch.randn(40, 19)
    results = []
    for is_usable in (True, False):
        if not is_usable:
            monkeypatch.setattr(library, "status", lambda: (False, ""))
        leaf = features.clone().requires_grad_()
        (max_of_points(leaf, batch) * direction).sum().backward()
        results.append(leaf.grad.nan_to_num(nan=7.5))
    assert torch.equal(*results)


@pytest.mark.parametrize("voxel", [-1, 9, 1 << 40])
def test_voxels_that_do_not_exist_are_refused(voxel):
    with pytest.raises(IndexError, match="none of the 9"):
        cells.maximum(torch.randn(5, 3), torch.tensor([0, 1, voxel, 2, 8]), 9)


@pytest.mark.parametrize("num_points", [0, 1, 5, 4000])
@pytest.mark.parametrize("shape", [(1, 1, 1), (9, 7, 6), (1 << 20, 1 << 20, 1 << 9), (1 << 20, 1 << 20, 1 << 20)])
def test_occupied_cells_are_those_of_torch(monkeypatch, num_points, shape):
    """Of numbers of any size: the largest do not fit beside those of the points."""
    generator = torch.Generator().manual_seed(0)
    scans = torch.randint(0, 3, (num_points,), generator=generator)  # in any order
    few = [torch.randint(0, min(size, 12), (num_points,), generator=generator) for size in shape]
    indices = torch.stack([size - 1 - index for size, index in zip(shape, few, strict=True)], dim=1)
    found = occupied_cells(scans, indices, shape)
    monkeypatch.setattr(library, "status", lambda: (False, ""))
    for one, other in zip(found, occupied_cells(scans, indices, shape), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("channels", [2, 20, 26])
def test_labels_are_the_best_classes_with_their_probabilities(channels):
    scores = torch.randn(5000, channels) * 5
    labels, confidence = cells.labels(scores)
    probabilities = torch.softmax(scores[:, 1:].double(), dim=1)
    assert torch.equal(labels.long(), probabilities.argmax(dim=1) + 1)
    torch.testing.assert_close(confidence.double(), probabilities.max(dim=1).values, rtol=0, atol=1e-6)


def test_labels_of_equal_endless_and_undefined_scores_are_classes():
    scores = torch.zeros(3, 20)
    scores[1, 7], scores[2, 9] = torch.inf, torch.nan
    labels, confidence = cells.labels(scores)
    assert labels.tolist() == [1, 7, 1]
    assert confidence[0] == pytest.approx(1 / 19)
    assert confidence[1:].isnan().all() or confidence[1] == 1


@pytest.mark.parametrize("temperature", [0.05, 0.7, 1.37, 20.0])
def test_a_temperature_divides_the_scores_of_confidences_and_changes_no_label(temperature, monkeypatch):
    scores = torch.randn(5000, 20) * 5
    scores[0, 3:5] = scores[1, 5:7] = 30
    scores[1, 6] += 1e-5
    scores[1, 6], scores[1, 5] = scores[1, 5].item(), scores[1, 6].item()
    labels, confidence = cells.labels(scores, temperature)
    assert torch.equal(labels, cells.labels(scores)[0])
    probabilities = torch.softmax(scores[:, 1:].double() / temperature, dim=1)
    expected = probabilities.gather(1, labels.long()[:, None] - 1)[:, 0]
    torch.testing.assert_close(confidence.double(), expected, rtol=0, atol=1e-6)
    monkeypatch.setattr(library, "status", lambda: (False, ""))
    output = SegmentationOutput(scores, scores[:, :1])
    by_torch = output.labels_of_points(torch.arange(5000), temperature)
    assert torch.equal(by_torch[0], output.labels_of_points(torch.arange(5000))[0])
    torch.testing.assert_close(by_torch[1].double(), expected, rtol=0, atol=1e-5)
