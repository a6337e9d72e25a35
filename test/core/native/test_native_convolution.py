"""The native engine equals the reference and dense convolutions in float64: values, gradients, any threads."""

import contextlib
import itertools

import pytest
import torch
from random_coords import random_coords
from torch.nn import functional as F

from pvd_core.borders.errors import UserError
from pvd_core.native import calls, library
from pvd_core.sparse import Sites, SparseTensor, StridedConvolution, SubmanifoldConvolution
from pvd_core.sparse.backends import reference
from pvd_core.sparse.epilogue import Epilogue
from pvd_core.sparse.modules import InverseConvolution

if not library.status()[0]:
    pytest.skip(f"native engine: {library.status()[1]}", allow_module_level=True)

from pvd_core.sparse.backends import native

LEVELS = ("plain", "avx2", "avx512", "avx512bf16", "amx")
KERNELS = ((3, 3, 3), (1, 3, 3), (3, 1, 3), (3, 1, 1), (1, 3, 1), (1, 1, 3))
# (kernel, stride) of convolutions to coarse sites.
STRIDED = (((3, 3, 3), (2, 2, 2)), ((3, 3, 3), (2, 2, 1)), ((2, 2, 2), (2, 2, 2)))
CHANNELS = (
    (1, 1),
    (3, 5),
    (8, 8),
    (9, 7),
    (16, 20),
    (17, 33),
    (32, 16),
    (48, 48),
    (64, 48),
    (130, 70),
    (512, 3),
    (2, 512),
)
SHAPE = (9, 7, 6)


@pytest.fixture(params=LEVELS)
def level(request):
    with at_level(request.param):
        yield request.param


@contextlib.contextmanager
def at_level(name):
    try:
        library.use_level(name)
    except UserError:
        pytest.skip(f"this processor has no level {name}")
    yield
    library.use_level("")


@contextlib.contextmanager
def threads(number):
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    yield
    torch.set_num_threads(before)


def random_sites(num_sites, backend, shape=SHAPE, batch_size=2):
    return Sites(random_coords(num_sites, shape, batch_size), shape, batch_size, backend)


def random_rows(num_rows, channels, seed=0):
    return torch.randn(num_rows, channels, generator=torch.Generator().manual_seed(seed))


def outcome(layer, features, sites, *more):
    """[result, gradient of the features, gradient of the weight] for a fixed gradient of the result."""
    features = features.clone().requires_grad_()
    layer.zero_grad()
    result = layer(SparseTensor(features, sites), *more).features_VC
    (result * random_rows(*result.shape, seed=7).to(result.dtype)).sum().backward()
    return [result.detach(), features.grad, layer.weight.grad]


def assert_close(found, expected, tolerance=1e-5):
    for one, other in zip(found, expected, strict=True):
        scale = max(1.0, float(other.abs().max())) if other.numel() else 1.0
        torch.testing.assert_close(one.double(), other.double(), rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("num_sites", [0, 1, 5, 300])
def test_submanifold_convolution_equals_the_reference(level, kernel, num_sites):
    layer = SubmanifoldConvolution(9, 21, kernel, bias=True)
    features = random_rows(num_sites, 9)
    found = outcome(layer, features, random_sites(num_sites, native))
    assert_close(found, outcome(layer, features, random_sites(num_sites, reference)))


@pytest.mark.parametrize("channels", CHANNELS)
def test_any_number_of_channels(level, channels):
    layer = SubmanifoldConvolution(*channels, (3, 3, 3))
    features = random_rows(200, channels[0])
    found = outcome(layer, features, random_sites(200, native))
    exact = outcome(layer.double(), features.double(), random_sites(200, reference))
    assert_close(found, exact)


@pytest.mark.parametrize(("kernel", "stride"), STRIDED)
@pytest.mark.parametrize("num_sites", [0, 1, 250])
@pytest.mark.parametrize("channels", [7, 16])
def test_strided_and_inverse_convolutions_equal_the_reference(level, kernel, stride, num_sites, channels):
    down, up = StridedConvolution(channels, 18, stride, kernel), InverseConvolution(18, 12, stride, kernel)
    features = random_rows(num_sites, channels)
    results = []
    for backend in (native, reference):
        fine = random_sites(num_sites, backend)
        coarse = fine.coarse(kernel, stride)
        results.append([*outcome(down, features, fine), *outcome(up, random_rows(coarse.num_sites, 18), coarse, fine)])
    assert_close(*results)


def test_dense_convolution_in_float64_is_the_third_witness(level):
    sites = random_sites(150, native)
    features = random_rows(150, 6)
    layer = SubmanifoldConvolution(6, 10, (3, 3, 3))
    place = tuple(sites.coords_V4.t())
    dense = torch.zeros(2, *SHAPE, 6, dtype=torch.float64)
    dense[place] = features.double()
    weight = layer.weight.detach().double().view(3, 3, 3, 6, 10).permute(4, 3, 0, 1, 2)
    convolved = F.conv3d(dense.permute(0, 4, 1, 2, 3), weight, padding=1).permute(0, 2, 3, 4, 1)[place]
    found = layer(SparseTensor(features, sites)).features_VC
    assert_close([found], [convolved])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("channels", [50, 48])
def test_results_are_the_same_bits_for_any_number_of_threads(level, dtype, channels):
    sites = random_sites(5000, native, shape=(40, 30, 12))
    kernel_map = sites.map((3, 3, 3))
    taps = calls.TapRows(*kernel_map.tap_rows)
    features, grad = random_rows(5000, channels).to(dtype), random_rows(5000, 21, seed=1).to(dtype)
    weight = calls.pack(torch.randn(27, channels, 21), dtype)
    layers = [calls.Layer(calls.pack(torch.randn(1, channels, 30), dtype), None, True)]
    results = []
    for number in (1, 2, 3, 8):
        with threads(number):
            results.append(
                [
                    calls.convolve(features, weight, taps),
                    calls.weight_gradient(features, grad, taps),
                    calls.chain(features, layers)[0],
                ]
            )
    for others in results[1:]:
        assert all(torch.equal(one, other) for one, other in zip(results[0], others, strict=True))


def test_bf16_is_as_close_as_its_operands_allow(level):
    features, weight = random_rows(400, 30).bfloat16(), torch.randn(27, 30, 40).bfloat16()
    kernel_map = random_sites(400, native, shape=(12, 9, 8)).map((3, 3, 3))
    taps = calls.TapRows(*kernel_map.tap_rows)
    exact = reference.convolve(features.double(), weight.double(), kernel_map)
    found = calls.convolve(features, calls.pack(weight, torch.bfloat16), taps)
    assert found.dtype == torch.bfloat16
    # Sums are float32, so only the result is rounded: half a step of 2^-8.
    torch.testing.assert_close(found.double(), exact, rtol=2**-8, atol=1e-4)
    grad = random_rows(400, 40, seed=3).bfloat16()
    gradient = calls.weight_gradient(features, grad, taps)
    exact_weight = torch.zeros(27, 30, 40, dtype=torch.float64, requires_grad=True)
    reference.convolve(features.double(), exact_weight, kernel_map).backward(grad.double())
    assert_close([gradient], [exact_weight.grad])


def test_float32_is_as_exact_in_the_matrix_unit_as_outside():
    """Sums of products of parts of values, with values of many magnitudes."""
    kernel_map = random_sites(400, native, shape=(12, 9, 8)).map((3, 3, 3))
    magnitudes_I = torch.logspace(-6, 6, 64)
    features, grad = random_rows(400, 64) * magnitudes_I, random_rows(400, 40, seed=3)
    weight = random_rows(27 * 64, 40, seed=4).view(27, 64, 40) / magnitudes_I[:, None]
    exact_weight = weight.double().requires_grad_()
    exact = reference.convolve(features.double(), exact_weight, kernel_map)
    exact.backward(grad.double())
    errors = {}
    for name in ("plain", "amx"):
        with at_level(name):
            taps = calls.TapRows(*kernel_map.tap_rows)
            found = calls.convolve(features, calls.pack(weight), taps)
            gradient = (calls.weight_gradient(features, grad, taps) - exact_weight.grad) / magnitudes_I[:, None]
            errors[name] = [float((found - exact.detach()).abs().max()), float(gradient.abs().max())]
    assert all(one <= other for one, other in zip(errors["amx"], errors["plain"], strict=True)), errors


@pytest.mark.parametrize("activates_last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_steps_after_the_sums(level, dtype, activates_last):
    kernel_map = random_sites(300, native).map((1, 3, 3))
    features, weight = random_rows(300, 11).to(dtype), torch.randn(9, 11, 13).to(dtype)
    (bias, scale, shift), added = torch.randn(3, 13), torch.randn(300, 13).to(dtype)
    steps = calls.Steps(bias, 0.01, scale, shift, added, activates_last)
    found = calls.convolve(features, calls.pack(weight, dtype), calls.TapRows(*kernel_map.tap_rows), steps)
    sums = reference.convolve(features.double(), weight.double(), kernel_map)
    if activates_last:
        expected = F.leaky_relu((sums + bias) * scale + shift + added, 0.01)
    else:
        expected = F.leaky_relu(sums + bias, 0.01) * scale + shift + added
    tolerances = {"rtol": 1e-5, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 2**-8, "atol": 1e-4}
    torch.testing.assert_close(found.double(), expected, **tolerances)


@pytest.mark.parametrize("kind", ["submanifold", "strided", "inverse"])
def test_layers_of_each_kind_apply_norm_and_activation_in_one_pass(kind):
    fine = random_sites(200, native)
    coarse = fine.coarse((2, 2, 2), (2, 2, 2))
    layer, features, sites, more = {
        "submanifold": (SubmanifoldConvolution(7, 9, (3, 3, 3)), random_rows(200, 7), fine, ()),
        "strided": (StridedConvolution(7, 9, (2, 2, 2), (2, 2, 2)), random_rows(200, 7), fine, ()),
        "inverse": (
            InverseConvolution(7, 9, (2, 2, 2), (2, 2, 2)),
            random_rows(coarse.num_sites, 7),
            coarse,
            (fine,),
        ),
    }[kind]
    scale, shift = torch.randn(2, 9, generator=torch.Generator().manual_seed(3))
    tensor = SparseTensor(features, sites)
    with torch.no_grad():
        found = layer(tensor, *more, epilogue=Epilogue(0.0, scale, shift, activates_last=True))
        plain = layer(tensor, *more)
    assert found.sites is plain.sites
    assert_close([found.features_VC], [torch.relu(plain.features_VC * scale + shift)])


@pytest.mark.parametrize("num_rows", [0, 1, 239, 1000])
def test_chain_equals_linear_layers_one_by_one(level, num_rows):
    sizes = (9, 33, 64, 5)
    rows, joined = random_rows(num_rows, 9), torch.randn(17, 33)
    index = torch.randint(0, 17, (num_rows,))
    weights = [torch.randn(a, b) for a, b in itertools.pairwise(sizes)]
    biases = [torch.randn(33), None, torch.randn(5)]
    layers = [
        calls.Layer(calls.pack(weight[None]), bias, number < 2)
        for number, (weight, bias) in enumerate(zip(weights, biases, strict=True))
    ]
    result, hidden = calls.chain(rows, layers, joined, index)
    first = torch.relu(rows @ weights[0] + biases[0] + joined[index])
    second = torch.relu(first @ weights[1])
    assert_close([hidden, result], [second, second @ weights[2] + biases[2]], 1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_join_the_sums_of_a_single_layer_too(level, dtype):
    rows, weight = random_rows(500, 16).to(dtype), random_rows(16, 21, seed=1).to(dtype)
    joined, index = random_rows(17, 21, seed=2), torch.randint(0, 17, (500,))
    result, _ = calls.chain(rows, [calls.Layer(calls.pack(weight[None], dtype), None, True)], joined, index)
    expected = torch.relu(rows.double() @ weight.double() + joined[index])
    tolerances = {"rtol": 1e-5, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 2**-8, "atol": 1e-4}
    torch.testing.assert_close(result.double(), expected, **tolerances)


def test_weights_that_are_kept_are_packed_anew_for_another_level():
    layer, tensor = (
        SubmanifoldConvolution(9, 40, (3, 3, 3)),
        SparseTensor(random_rows(200, 9), random_sites(200, native)),
    )
    results = {}
    for name in LEVELS:
        with contextlib.suppress(UserError), torch.no_grad():
            library.use_level(name)
            results[name] = layer(tensor).features_VC
    library.use_level("")
    for found in results.values():
        assert_close([found], [results["plain"]], 1e-5)


@pytest.mark.parametrize("channels", [4, 32])
def test_nan_in_the_weights_stays_where_it_is(level, channels):
    kernel_map = random_sites(60, native).map((3, 3, 3))
    weight = torch.randn(27, channels, 6)
    weight[13, 2, 3] = torch.nan
    for steps in (calls.Steps(), calls.Steps(negative_slope=0.01)):
        taps = calls.TapRows(*kernel_map.tap_rows)
        found = calls.convolve(random_rows(60, channels), calls.pack(weight), taps, steps)
        assert found[:, 3].isnan().all()
        assert not found[:, [0, 1, 2, 4, 5]].isnan().any()


def test_other_dtypes_go_to_the_reference():
    layer = SubmanifoldConvolution(4, 6, (3, 3, 3), bias=True).double()
    features = random_rows(50, 4).double()
    with torch.no_grad():
        results = [layer(SparseTensor(features, random_sites(50, b))).features_VC for b in (native, reference)]
    assert_close(*[[result] for result in results], 1e-12)


@pytest.mark.parametrize("channels", [100, 96])
def test_sums_of_wide_and_large_maps_do_not_leave_their_block(channels):
    """More rows than a block, more channels than a tile, more than one part and range of the weight's gradient."""
    sites = random_sites(9000, native, shape=(40, 30, 12))
    layer = SubmanifoldConvolution(channels, 70, (3, 1, 3))
    features = random_rows(9000, channels)
    expected = outcome(layer, features, random_sites(9000, reference, shape=(40, 30, 12)))
    assert_close(outcome(layer, features, sites), expected, 2e-5)
