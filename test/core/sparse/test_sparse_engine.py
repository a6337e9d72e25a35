"""The sparse engine against dense torch convolutions: values and gradients."""

import gc
import weakref

import pytest
import torch
import torch.nn.functional as F
from random_coords import random_coords

from pvd_core.sparse import (
    InverseConvolution,
    Sites,
    SparseTensor,
    StridedConvolution,
    SubmanifoldConvolution,
)

KERNELS = [(1, 3, 3), (3, 1, 3), (3, 3, 3), (3, 1, 1), (1, 3, 1), (1, 1, 3)]
STRIDES = [(2, 2, 2), (2, 2, 1)]
# (kernel, stride) of convolutions to coarse sites.
STRIDED = [*(((3, 3, 3), stride) for stride in STRIDES), ((2, 2, 2), (2, 2, 2)), ((2, 1, 2), (2, 1, 2))]
SHAPE = (9, 7, 6)


def random_tensor(num_sites, channels, batch_size=2, shape=SHAPE, seed=0):
    generator = torch.Generator().manual_seed(seed)
    coords = random_coords(num_sites, shape, batch_size, generator)
    features = torch.randn(num_sites, channels, generator=generator, dtype=torch.float64)
    return SparseTensor(features.requires_grad_(), Sites(coords, shape, batch_size))


def dense(features, sites):
    grid = features.new_zeros(sites.batch_size, *sites.shape, features.shape[1])
    grid = grid.index_put(tuple(sites.coords_V4.t()), features)
    return grid.permute(0, 4, 1, 2, 3)


def at_sites(grid, sites):
    return grid.permute(0, 2, 3, 4, 1)[tuple(sites.coords_V4.t())]


def dense_weight(layer):
    _num_taps, channels_in, channels_out = layer.weight.shape
    return layer.weight.view(*layer.kernel, channels_in, channels_out).permute(4, 3, 0, 1, 2)


def assert_same_values_and_gradients(actual, expected, inputs):
    assert (actual - expected).abs().max() < 1e-12
    direction = torch.randn(actual.shape, generator=torch.Generator().manual_seed(1), dtype=actual.dtype)
    gradients = torch.autograd.grad((actual * direction).sum(), inputs, retain_graph=True)
    references = torch.autograd.grad((expected * direction).sum(), inputs)
    for gradient, reference in zip(gradients, references, strict=True):
        assert (gradient - reference).abs().max() < 1e-11


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("channels", [(3, 5), (8, 8)])
@pytest.mark.parametrize("num_sites", [1, 200])
def test_submanifold_convolution_equals_dense_convolution_at_the_sites(kernel, channels, num_sites):
    tensor = random_tensor(num_sites, channels[0])
    layer = SubmanifoldConvolution(*channels, kernel, bias=True).double()

    actual = layer(tensor).features_VC

    padding = tuple(size // 2 for size in kernel)
    convolved = F.conv3d(dense(tensor.features_VC, tensor.sites), dense_weight(layer), layer.bias, padding=padding)
    expected = at_sites(convolved, tensor.sites)
    assert_same_values_and_gradients(actual, expected, (tensor.features_VC, layer.weight, layer.bias))


@pytest.mark.parametrize(("kernel", "stride"), STRIDED)
@pytest.mark.parametrize("num_sites", [1, 60])
@pytest.mark.parametrize("shape", [SHAPE, (8, 4, 5)])
def test_strided_convolution_equals_dense_convolution_and_creates_every_reachable_site(
    kernel, stride, num_sites, shape
):
    tensor = random_tensor(num_sites, 4, shape=shape)
    layer = StridedConvolution(4, 6, stride, kernel).double()

    result = layer(tensor)

    grid = dense_strided(dense(tensor.features_VC, tensor.sites), dense_weight(layer), stride)
    assert tuple(grid.shape[2:]) == result.sites.shape
    expected = at_sites(grid, result.sites)
    assert_same_values_and_gradients(result.features_VC, expected, (tensor.features_VC, layer.weight))
    occupied = dense(torch.ones(num_sites, 1, dtype=torch.float64), tensor.sites)
    reachable = dense_strided(occupied, torch.ones(1, 1, *kernel, dtype=torch.float64), stride) > 0
    assert torch.equal(result.sites.coords_V4, reachable[:, 0].nonzero())


def dense_strided(grid, weight, stride):
    """Padding 1 for 3x3x3; none for a kernel that is the stride, whose blocks may reach beyond the far border."""
    if weight.shape[2:] == (3, 3, 3):
        return F.conv3d(grid, weight, stride=stride, padding=1)
    missing = [-size % step for size, step in zip(grid.shape[2:], stride, strict=True)]
    return F.conv3d(F.pad(grid, (0, missing[2], 0, missing[1], 0, missing[0])), weight, stride=stride)


@pytest.mark.parametrize(("kernel", "stride"), STRIDED)
@pytest.mark.parametrize("num_sites", [1, 60])
def test_inverse_convolution_equals_dense_transposed_convolution_at_the_fine_sites(kernel, stride, num_sites):
    fine = random_tensor(num_sites, 4)
    coarse_sites = fine.sites.coarse(kernel, stride)
    generator = torch.Generator().manual_seed(2)
    coarse_features = torch.randn(
        coarse_sites.num_sites, 5, generator=generator, dtype=torch.float64, requires_grad=True
    )
    layer = InverseConvolution(5, 3, stride, kernel).double()

    result = layer(SparseTensor(coarse_features, coarse_sites), fine.sites)

    # conv_transpose3d wants (in, out, ...). With padding it leaves cells at the far border that no output size names.
    weight, grid = dense_weight(layer).transpose(0, 1), dense(coarse_features, coarse_sites)
    if kernel == stride:
        grid = F.conv_transpose3d(grid, weight, stride=stride)
    else:
        sizes = zip(fine.sites.shape, coarse_sites.shape, stride, strict=True)
        output_padding = tuple(size - ((coarse - 1) * step + 1) for size, coarse, step in sizes)
        grid = F.conv_transpose3d(grid, weight, stride=stride, padding=1, output_padding=output_padding)
    assert result.sites is fine.sites
    assert_same_values_and_gradients(result.features_VC, at_sites(grid, fine.sites), (coarse_features, layer.weight))


@pytest.mark.parametrize(("kernel", "stride"), STRIDED)
def test_layers_accept_no_sites_at_all(kernel, stride):
    tensor = random_tensor(0, 4)
    down = StridedConvolution(4, 4, stride, kernel).double()
    coarse = down(SubmanifoldConvolution(4, 4, (3, 3, 3)).double()(tensor))
    fine = InverseConvolution(4, 2, stride, kernel).double()(coarse, tensor.sites)

    fine.features_VC.sum().backward()

    assert coarse.features_VC.shape == (0, 4)
    assert fine.features_VC.shape == (0, 2)
    assert down.weight.grad.abs().sum() == 0


def test_gradients_of_blocks_of_two_equal_finite_differences():
    fine = random_tensor(12, 2, shape=(4, 3, 4))
    down = StridedConvolution(2, 3, (2, 2, 2), (2, 2, 2)).double()
    up = InverseConvolution(3, 2, (2, 2, 2), (2, 2, 2)).double()

    def there_and_back(features, *_weights):
        return up(down(fine.with_features(features)), fine.sites).features_VC

    assert torch.autograd.gradcheck(there_and_back, (fine.features_VC, down.weight, up.weight))


@pytest.mark.parametrize("number", range(2))
def test_strides_and_kernels_that_no_map_has_are_refused(number):
    layer = (StridedConvolution, InverseConvolution)[number]
    for stride in ((1, 1, 1), (3, 3, 3), (2, 2)):
        with pytest.raises(ValueError, match="each 1 or 2 and not all 1"):
            layer(3, 5, stride)
    for kernel in ((2, 2, 1), (1, 3, 3)):
        with pytest.raises(ValueError, match=r"expected \(3, 3, 3\), or the stride \(2, 2, 2\)"):
            layer(3, 5, (2, 2, 2), kernel)


def test_scans_of_a_batch_do_not_see_each_other():
    both = random_tensor(120, 4)
    layer = SubmanifoldConvolution(4, 4, (3, 3, 3)).double()
    is_second = both.sites.coords_V4[:, 0] == 1
    coords = both.sites.coords_V4[is_second].clone()
    coords[:, 0] = 0

    together = layer(both).features_VC[is_second]
    alone = layer(SparseTensor(both.features_VC[is_second], Sites(coords, SHAPE, 1))).features_VC

    assert torch.equal(together, alone)


def test_result_does_not_depend_on_the_number_of_threads():
    tensor = random_tensor(3000, 16, shape=(40, 30, 10))
    tensor = tensor.with_features(tensor.features_VC.detach().float())
    layer = SubmanifoldConvolution(16, 16, (3, 3, 3))
    threads = torch.get_num_threads()
    try:
        results = []
        for num_threads in (1, 2):
            torch.set_num_threads(num_threads)
            results.append(layer(tensor).features_VC)
    finally:
        torch.set_num_threads(threads)

    assert torch.equal(*results)


@pytest.mark.parametrize("kernel", [(5, 5, 5), (2, 2, 2), (3, 3), (3, 1, 0)])
def test_kernels_beyond_the_27_neighbours_are_refused(kernel):
    with pytest.raises(ValueError, match="each 1 or 3"):
        SubmanifoldConvolution(3, 5, kernel)


@pytest.mark.parametrize("num_sites", [1, 37, 900])
def test_bfloat16_products_in_buckets_equal_float32_within_its_precision(num_sites):
    tensor = random_tensor(num_sites, 8, shape=(12, 12, 6))
    features = tensor.features_VC.detach().bfloat16().float().requires_grad_()
    layer = SubmanifoldConvolution(8, 8, (3, 3, 3))
    with torch.no_grad():
        layer.weight.copy_(layer.weight.bfloat16())

    expected = layer(SparseTensor(features, tensor.sites)).features_VC
    with torch.autocast("cpu", torch.bfloat16):
        actual = layer(SparseTensor(features, tensor.sites)).features_VC

    assert actual.dtype == torch.bfloat16
    assert (actual - expected).abs().max() < 0.01 * expected.abs().max()
    references = torch.autograd.grad(expected.sum(), (features, layer.weight))
    gradients = torch.autograd.grad(actual.float().sum(), (features, layer.weight))
    for gradient, reference in zip(gradients, references, strict=True):
        assert (gradient - reference).abs().max() < 0.01 * reference.abs().max()


@pytest.mark.parametrize("num_sites", [0, 1, 60])
@pytest.mark.parametrize("kernel", [(1, 3, 3), (3, 3, 3)])
@pytest.mark.parametrize("strided", [None, *STRIDED])
def test_a_transposed_map_holds_the_same_pairs_with_input_and_output_exchanged(num_sites, kernel, strided):
    sites = random_tensor(num_sites, 1).sites
    kernel_map = sites.map(*(strided or [kernel]))

    assert kernel_map.transposed.transposed.in_index_M is kernel_map.in_index_M
    for one, other in ((kernel_map, kernel_map.transposed), (kernel_map.transposed, kernel_map)):
        table = one.table()
        assert table.shape == (one.num_taps, one.num_out)
        taps, outputs = (table >= 0).nonzero().t()
        assert torch.equal(one.out_index_M, outputs)
        assert torch.equal(one.in_index_M, table[taps, outputs].long())
        assert torch.equal(other.in_index_M, one.out_index_M)
        assert one.num_pairs_K == other.num_pairs_K == tuple((table >= 0).sum(dim=1).tolist())


def test_a_map_that_only_gives_its_table_counts_no_pairs():
    kernel_map = random_tensor(60, 1).sites.map((3, 3, 3), (2, 2, 2))

    for map_ in (kernel_map, kernel_map.transposed):
        map_.table()
    assert all("pairs" not in cache for cache in kernel_map._caches.values())


@pytest.mark.parametrize("is_training", [False, True])
def test_maps_are_freed_with_the_last_tensor_that_needs_them(is_training):
    freed = []

    def run():
        tensor = random_tensor(200, 4)
        coarse = StridedConvolution(4, 4, (2, 2, 2)).double()(
            SubmanifoldConvolution(4, 4, (1, 3, 3)).double()(SubmanifoldConvolution(4, 4, (3, 3, 3)).double()(tensor))
        )
        fine = InverseConvolution(4, 2, (2, 2, 2)).double()(coarse, tensor.sites)
        for sites in (tensor.sites, coarse.sites):
            for index in (sites.map((3, 3, 3)).in_index_M, sites.coords_V4):
                weakref.finalize(index, freed.append, index.shape)
        if is_training:
            fine.features_VC.sum().backward()

    gc.disable()
    try:
        run()
        assert len(freed) == 4
    finally:
        gc.enable()
