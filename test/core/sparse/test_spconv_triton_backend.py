"""The spconv-triton backend against the reference: on a GPU where there is one, else the package's own kernels in
Triton's interpreter, on CPU tensors that say they are on a GPU."""

import contextlib
import os
import sys
from unittest import mock

import pytest
import torch
from random_coords import random_coords

from pvd_core.borders.errors import UserError
from pvd_core.models import build_model
from pvd_core.sparse import Sites
from pvd_core.sparse.backends import load_backend, reference, spconv_implicit_gemm

pytest.importorskip("triton", reason="triton is not installed (extra gpu)")
HAS_GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if HAS_GPU else "cpu")
# Triton reads the switch while kernels are decorated: when the package is imported, and not again.
with mock.patch.dict(os.environ, {} if HAS_GPU else {"TRITON_INTERPRET": "1"}):
    pytest.importorskip("spconv_triton", reason="spconv-triton is not installed (extra gpu)")
    from spconv_triton.pytorch._impl import gemm, pair_kernels
    from triton.runtime.interpreter import InterpretedFunction
    from triton.runtime.jit import JITFunction

    from pvd_core.sparse.backends import spconv_triton as backend

KERNELS = [(1, 3, 3), (3, 1, 3), (3, 3, 3), (3, 1, 1), (1, 1, 1)]
STRIDED = [((3, 3, 3), (2, 2, 2)), ((3, 3, 3), (2, 2, 1)), ((2, 2, 2), (2, 2, 2))]  # (kernel, stride)
SHAPE = (9, 7, 6)


@pytest.fixture
def on_gpu(monkeypatch):
    """Kernels run: without a GPU in the interpreter, each with one of its settings, for there is nothing to tune."""
    if HAS_GPU:
        return
    for module in (gemm, pair_kernels):
        for kernel in vars(module).values():
            if hasattr(kernel, "configs"):
                monkeypatch.setattr(kernel, "configs", kernel.configs[:1])
    # Triton's own functions, such as tl.cdiv, are interpreted too only if the switch was on when Triton was imported.
    interpreted = lambda function, *args, **kwargs: InterpretedFunction(function.fn)(*args, **kwargs)  # noqa: E731
    monkeypatch.setattr(JITFunction, "__call__", interpreted)
    monkeypatch.setattr(gemm, "_multiprocessor_count", lambda _device: 1)
    monkeypatch.setattr(spconv_implicit_gemm, "_set_for", lambda *_: contextlib.nullcontext())
    monkeypatch.setattr(torch.Tensor, "is_cuda", True, raising=False)


def random_sites(num_sites, engine=backend):
    return Sites(random_coords(num_sites, SHAPE).to(DEVICE), SHAPE, 2, engine)


def strided(num_sites, kernel, stride):
    """(map, the reference's map, order): row r of the reference's coarse sites is row `order[r]` of the map's."""
    sites, exact_sites = random_sites(num_sites), random_sites(num_sites, reference)
    coarse, exact_coarse = sites.coarse(kernel, stride), exact_sites.coarse(kernel, stride)
    coords = coarse.coords_V4.tolist()
    order = torch.tensor(sorted(range(len(coords)), key=coords.__getitem__), dtype=torch.long, device=DEVICE)
    assert coarse.shape == exact_coarse.shape
    assert torch.equal(coarse.coords_V4[order], exact_coarse.coords_V4)
    return sites.map(kernel, stride), exact_sites.map(kernel, stride), order


def operands_of(kernel_map, channels, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    shapes = (kernel_map.num_in, channels[0]), (kernel_map.problem.num_taps, *channels)
    return tuple(torch.randn(shape, generator=generator).to(DEVICE, dtype).requires_grad_() for shape in shapes)


def assert_close(actual, expected, tolerance=1e-5):
    """Largest error, relative to the largest expected value."""
    assert actual.shape == expected.shape
    if expected.numel():
        assert (actual.float() - expected).abs().max() <= tolerance * expected.abs().max()


def assert_same_as_reference(kernel_map, exact_map, channels=(8, 16), order_in=None, order_out=None):
    """Values in training and inference, and both gradients; rows of the reference's are `order_in` and `order_out` of
    the map's."""
    operands = operands_of(kernel_map, channels)
    exact_features = operands[0] if order_in is None else operands[0][order_in]
    expected = reference.convolve(exact_features, operands[1], exact_map)
    trained = backend.convolve(*operands, kernel_map)
    with torch.no_grad():
        inferred = backend.convolve(*operands, kernel_map)
    results = [result if order_out is None else result[order_out] for result in (trained, inferred)]
    assert kernel_map.num_pairs_K == exact_map.num_pairs_K
    direction = torch.randn(expected.shape, generator=torch.Generator().manual_seed(2)).to(DEVICE)
    for result in results:
        assert_close(result, expected)
    gradients = torch.autograd.grad(results[0], operands, direction)
    for gradient, exact in zip(gradients, torch.autograd.grad(expected, operands, direction), strict=True):
        assert_close(gradient, exact)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("num_sites", [0, 1, 90])
def test_every_kernel_shape_equals_the_reference(kernel, num_sites, on_gpu):
    maps = random_sites(num_sites).map(kernel), random_sites(num_sites, reference).map(kernel)
    assert_same_as_reference(*maps)


@pytest.mark.parametrize(("kernel", "stride"), STRIDED)
@pytest.mark.parametrize("num_sites", [0, 1, 90])
def test_strided_and_inverse_convolution_equal_the_reference(kernel, stride, num_sites, on_gpu):
    kernel_map, exact_map, order = strided(num_sites, kernel, stride)
    assert_same_as_reference(kernel_map, exact_map, order_out=order)
    assert_same_as_reference(kernel_map.transposed, exact_map.transposed, order_in=order)


@pytest.mark.parametrize("kernel", [(1, 3, 3), (3, 1, 1), (3, 3, 3)])
def test_weights_lie_as_those_of_a_dense_convolution(kernel, on_gpu):
    sites = random_sites(80)
    features_VI, weight_KIO = operands_of(sites.map(kernel), (3, 5))
    scan, rho, phi, z = sites.coords_V4.T
    dense = torch.zeros(2, 3, *SHAPE, device=DEVICE)
    dense[scan, :, rho, phi, z] = features_VI.detach()
    weight_OIk = weight_KIO.detach().permute(2, 1, 0).reshape(5, 3, *kernel)
    expected = torch.nn.functional.conv3d(dense, weight_OIk, padding=[size // 2 for size in kernel])
    with torch.no_grad():
        actual = backend.convolve(features_VI, weight_KIO, sites.map(kernel))
    assert_close(actual, expected[scan, :, rho, phi, z])


@pytest.mark.parametrize("channels", [(3, 5), (20, 3), (1, 1), (70, 33)])
def test_odd_channel_counts_equal_the_reference(channels, on_gpu):
    maps = random_sites(50).map((1, 3, 3)), random_sites(50, reference).map((1, 3, 3))
    assert_same_as_reference(*maps, channels)


def test_float16_is_summed_in_float32(on_gpu):
    kernel_map, exact_map = random_sites(90).map((3, 3, 3)), random_sites(90, reference).map((3, 3, 3))
    operands = [operand.detach() for operand in operands_of(kernel_map, (16, 16), torch.float16)]
    actual = backend.convolve(*operands, kernel_map)
    assert actual.dtype == torch.float16
    assert_close(actual, reference.convolve(*(operand.float() for operand in operands), exact_map), 1e-3)


def test_a_map_built_for_inference_is_completed_when_gradients_are_wanted(on_gpu):
    with torch.no_grad():
        kernel_map = random_sites(40).map((3, 3, 3))
    assert not kernel_map.has_backward
    assert_same_as_reference(kernel_map, random_sites(40, reference).map((3, 3, 3)))


def test_the_whole_network_equals_the_reference(on_gpu):
    torch.manual_seed(0)
    widths = {"width": 4, "num_point_features": 16, "point_mlp_widths": (16,), "grid": {"shape": (12, 9, 4)}}
    model = build_model(widths).eval().to(DEVICE)
    points = torch.rand(40, 4, generator=torch.Generator().manual_seed(4)) * torch.tensor([40, 40, 5, 1])
    batch = model.grid.voxelise([(points - torch.tensor([20, 20, 3.5, 0])).to(DEVICE)])
    with torch.no_grad():
        model.backend = reference
        expected = model(batch).voxel_logits_VC
        model.backend = backend
        assert_close(model(batch).voxel_logits_VC, expected)


@pytest.mark.parametrize(("allowed", "expected"), [("highest", False), ("high", True)])
def test_tf32_is_used_where_torch_may_use_it(allowed, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device", lambda _device: contextlib.nullcontext())
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: allowed)
    monkeypatch.setattr("spconv_triton.constants.SPCONV_ALLOW_TF32", None)
    with spconv_implicit_gemm._set_for(torch.zeros(1), backend._PACKAGE):
        assert gemm._allow_tf32(torch.zeros(1)) == expected


@pytest.mark.parametrize("num_sites", [0, 30])
def test_voxels_on_the_cpu_are_refused_with_what_to_do(num_sites):
    sites = Sites(random_coords(num_sites, SHAPE), SHAPE, 2, backend)
    with pytest.raises(UserError, match=r"'spconv-triton': it runs on GPUs alone.*on device cpu; take --device cuda"):
        sites.map((3, 3, 3))


def test_wrong_operands_are_refused_before_the_kernels_read_them(on_gpu):
    kernel_map = random_sites(20).map((1, 1, 3))
    features, weight = torch.zeros(20, 4, device=DEVICE), torch.zeros(3, 4, 4, device=DEVICE)
    with pytest.raises(ValueError, match=r"features \(19, 4\).*20 input sites"):
        backend.convolve(features[:19], weight, kernel_map)
    with pytest.raises(UserError, match=r"'spconv-triton': it has no bfloat16; take precision fp32"):
        backend.convolve(features.bfloat16(), weight.bfloat16(), kernel_map)
    with pytest.raises(TypeError, match="expected one of Sites whose backend is spconv-triton"):
        backend.convolve(features, weight, random_sites(20, reference).map((1, 1, 3)))


def test_a_missing_package_names_the_extra_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "pvd_core.sparse.backends.spconv_triton")
    monkeypatch.setitem(sys.modules, "spconv_triton", None)
    with pytest.raises(UserError, match=r"'spconv-triton': the package spconv_triton is not installed.*pvd_ros\[gpu\]"):
        load_backend("spconv-triton")
