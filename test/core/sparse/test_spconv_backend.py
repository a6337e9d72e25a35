"""The spconv backend against the reference: on a GPU where there is one that spconv is built for, else on the CPU."""

import sys

import numpy as np
import pytest
import torch
from random_coords import random_coords

from pvd_core.borders.errors import UserError
from pvd_core.models import build_model
from pvd_core.sparse import Sites
from pvd_core.sparse.backends import load_backend, reference
from pvd_core.sparse.tensor import autocast
from pvd_core.voxels import CylindricalGrid

pytest.importorskip("spconv", reason="spconv is not installed (extra spconv, or gpu)")

from spconv.cppconstants import CPU_ONLY_BUILD
from spconv.pytorch import ops

from pvd_core.sparse.backends import spconv as backend

HAS_GPU = torch.cuda.is_available() and not CPU_ONLY_BUILD
DEVICE = torch.device("cuda" if HAS_GPU else "cpu")
needs_gpu = pytest.mark.skipif(not HAS_GPU, reason="no GPU, or spconv is built for the CPU alone")

KERNELS = [(1, 3, 3), (3, 1, 3), (3, 3, 3), (3, 1, 1), (1, 3, 1), (1, 1, 3), (1, 1, 1)]
STRIDED = [((3, 3, 3), (2, 2, 2)), ((3, 3, 3), (2, 2, 1)), ((2, 2, 2), (2, 2, 2))]  # (kernel, stride)
SHAPE = (9, 7, 6)


@pytest.fixture(autouse=True)
def one_thread():
    """On the CPU spconv is right with one thread only."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Twins:
    """The same sites for spconv and for the reference. Coarse sites of spconv's stand in another order: row r of the
    reference's is row `order[r]` of spconv's."""

    def __init__(self, coords_V4, shape, batch_size):
        self.spconv, self.reference = (Sites(coords_V4, shape, batch_size, engine) for engine in (backend, reference))

    def submanifold(self, kernel):
        return self.spconv.map(kernel), self.reference.map(kernel)

    def strided(self, kernel, stride):
        (coarse, kernel_map), (exact_coarse, exact_map) = (
            (sites.coarse(kernel, stride), sites.map(kernel, stride)) for sites in (self.spconv, self.reference)
        )
        order = torch.from_numpy(np.lexsort(coarse.coords_V4.cpu().numpy().T[::-1])).to(DEVICE)
        assert coarse.shape == exact_coarse.shape
        assert torch.equal(coarse.coords_V4[order], exact_coarse.coords_V4)
        return kernel_map, exact_map, order


def random_twins(num_sites, shape=SHAPE, batch_size=2):
    return Twins(random_coords(num_sites, shape, batch_size).to(DEVICE), shape, batch_size)


def real_twins(shared_data):
    scan = shared_data / "semantickitti" / "sequences" / "00" / "velodyne" / "000000.bin"
    points = torch.from_numpy(np.fromfile(scan, dtype="<f4").reshape(-1, 4))
    rho = torch.hypot(points[:, 0], points[:, 1])
    batch = CylindricalGrid().voxelise([points[rho < 15], points[rho > 20]])
    assert 5000 < batch.num_voxels < 50000
    return Twins(batch.coords_V4.to(DEVICE), batch.shape, batch.batch_size)


def small_model(**settings):
    """In evaluation mode."""
    widths = {"width": 4, "num_point_features": 16, "point_mlp_widths": (16,), "grid": {"shape": (24, 18, 8)}}
    return build_model({**widths, **settings}).eval().to(DEVICE)


def small_batch(grid, num_scans=1):
    generator = torch.Generator().manual_seed(4)
    scans = torch.rand(num_scans, 60, 4, generator=generator) * torch.tensor([40, 40, 5, 1])
    return grid.voxelise(list((scans - torch.tensor([20, 20, 3.5, 0])).to(DEVICE)))


def assert_close(actual, expected, tolerance):
    """Largest error, relative to the largest expected value."""
    assert actual.shape == expected.shape
    if expected.numel():
        assert (actual.float() - expected).abs().max() <= tolerance * expected.abs().max()


def assert_same_as_reference(maps, channels, order_in=None, order_out=None, dtype=torch.float32, tolerance=1e-5):
    """Values, and on a GPU both gradients, against the reference in float32 on the same numbers. `order_in` and
    `order_out` say where the reference's rows are among spconv's."""
    kernel_map, exact_map = maps
    generator = torch.Generator().manual_seed(1)
    shapes = (kernel_map.num_in, channels[0]), (len(exact_map.num_pairs_K), *channels)
    operands = tuple(torch.randn(shape, generator=generator).to(DEVICE, dtype).requires_grad_() for shape in shapes)
    exact_operands = tuple(operand.detach().float().requires_grad_() for operand in operands)

    actual = backend.convolve(*operands, kernel_map)
    with torch.inference_mode():
        inferred = backend.convolve(*operands, kernel_map)

    exact_features = exact_operands[0] if order_in is None else exact_operands[0][order_in]
    expected = reference.convolve(exact_features, exact_operands[1], exact_map)
    if order_out is not None:
        actual, inferred = actual[order_out], inferred[order_out]
    assert kernel_map.num_pairs_K == exact_map.num_pairs_K
    assert actual.dtype == dtype
    assert_close(actual, expected, tolerance)
    assert_close(inferred, expected, tolerance)
    if HAS_GPU:
        direction = torch.randn(actual.shape, generator=torch.Generator().manual_seed(2)).to(DEVICE, dtype)
        gradients = torch.autograd.grad(actual, operands, direction)
        exact_gradients = torch.autograd.grad(expected, exact_operands, direction.float())
        for gradient, exact_gradient in zip(gradients, exact_gradients, strict=True):
            assert gradient.dtype == dtype
            assert_close(gradient, exact_gradient, tolerance)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("num_sites", [0, 1, 150])
def test_every_kernel_shape_equals_the_reference(kernel, num_sites):
    assert_same_as_reference(random_twins(num_sites).submanifold(kernel), (16, 16))


@pytest.mark.parametrize(("kernel", "stride"), STRIDED)
@pytest.mark.parametrize("num_sites", [0, 1, 90])
def test_strided_and_inverse_convolution_equal_the_reference(kernel, stride, num_sites):
    kernel_map, exact_map, order = random_twins(num_sites).strided(kernel, stride)
    assert_same_as_reference((kernel_map, exact_map), (8, 16), order_out=order)
    assert_same_as_reference((kernel_map.transposed, exact_map.transposed), (8, 16), order_in=order)


@pytest.mark.parametrize("channels", [(3, 5), (20, 3), (5, 20), (1, 1), (70, 33)])
def test_odd_channel_counts_equal_the_reference(channels):
    assert_same_as_reference(random_twins(70).submanifold((1, 3, 3)), channels)


def test_real_scans_equal_the_reference(shared_data):
    twins = real_twins(shared_data)
    for kernel in KERNELS:
        assert_same_as_reference(twins.submanifold(kernel), (16, 20))
    for kernel, stride in STRIDED:
        kernel_map, exact_map, order = twins.strided(kernel, stride)
        assert_same_as_reference((kernel_map, exact_map), (16, 32), order_out=order)
        assert_same_as_reference((kernel_map.transposed, exact_map.transposed), (32, 16), order_in=order)


@needs_gpu
@pytest.mark.parametrize("kernel", KERNELS)
def test_float16_equals_the_reference_within_sums_of_float16(kernel):
    assert_same_as_reference(random_twins(130).submanifold(kernel), (16, 20), dtype=torch.float16, tolerance=2e-2)


@pytest.mark.parametrize("kernels", ["as_written", "as_trained"])
def test_the_whole_network_equals_the_reference(kernels):
    torch.manual_seed(0)
    model = small_model(kernels=kernels, refinement="R3")
    batch = small_batch(model.grid, num_scans=2)

    with torch.no_grad():
        expected = model(batch)
        model.backend = backend
        actual = model(batch)

    assert_close(actual.voxel_logits_VC, expected.voxel_logits_VC, 1e-5)
    assert_close(actual.point_logits_PC, expected.point_logits_PC, 1e-5)


@needs_gpu
def test_a_training_step_of_the_whole_network_equals_the_reference():
    torch.manual_seed(0)
    model = small_model(refinement="none")
    batch = small_batch(model.grid, num_scans=2)
    gradients = []
    for engine in (reference, backend):
        model.backend = engine
        gradients.append(torch.autograd.grad(model(batch).voxel_logits_VC.square().mean(), list(model.parameters())))

    for expected, actual in zip(*gradients, strict=True):
        assert_close(actual, expected, 1e-4)


@needs_gpu
def test_a_map_built_for_inference_is_completed_when_gradients_are_wanted():
    twins = random_twins(60)
    with torch.no_grad():
        maps = twins.submanifold((3, 3, 3))
    assert_same_as_reference(maps, (8, 8))


def test_spconv_builds_one_map_a_level_and_kernel_for_encoder_and_decoder(monkeypatch):
    name = "get_indice_pairs_implicit_gemm" if HAS_GPU else "get_indice_pairs"
    built = []
    original = getattr(ops, name)
    monkeypatch.setattr(ops, name, lambda *args, **kwargs: built.append(args) or original(*args, **kwargs))
    model = small_model(refinement="none")
    model.backend = backend

    with torch.no_grad():
        model(small_batch(model.grid))

    # Three gates at the finest level; two asymmetric kernels, 3x3x3 and a strided one at four; 3x3x3 at the last.
    assert len(built) == 3 + 4 * 4 + 1


def test_a_changed_weight_counts_at_once():
    kernel_map, exact_map = random_twins(50).submanifold((1, 3, 3))
    features, weight = torch.randn(50, 4, device=DEVICE), torch.nn.Parameter(torch.randn(9, 4, 6, device=DEVICE))
    for _ in range(2):
        with torch.inference_mode():
            actual, expected = (
                backend.convolve(features, weight, kernel_map),
                reference.convolve(features, weight, exact_map),
            )
            assert_close(actual, expected, 1e-5)
            weight.mul_(-2)


def test_operands_that_are_not_contiguous_equal_the_reference():
    kernel_map, exact_map = random_twins(80).submanifold((3, 1, 1))
    features = torch.randn(16, 80, device=DEVICE).t()
    weight = torch.randn(3, 8, 16, device=DEVICE).transpose(1, 2)
    assert_close(backend.convolve(features, weight, kernel_map), reference.convolve(features, weight, exact_map), 1e-5)


def test_bfloat16_names_the_precisions_that_work():
    model = small_model(refinement="none")
    batch = small_batch(model.grid)
    model.backend = backend
    expected = pytest.raises(UserError, match=r"no bfloat16; take precision fp32 or.*fp16")
    with torch.no_grad(), torch.autocast(DEVICE.type, torch.bfloat16), expected:
        model(batch)


@pytest.mark.skipif(HAS_GPU, reason="a GPU has gradients")
def test_training_on_the_cpu_is_refused_with_what_to_do():
    kernel_map, _ = random_twins(30).submanifold((3, 3, 3))
    weight = torch.randn(27, 4, 4, requires_grad=True)
    result = backend.convolve(torch.randn(30, 4), weight, kernel_map)
    with pytest.raises(UserError, match=r"no gradients on the CPU; train with backend 'reference'"):
        result.sum().backward()


@pytest.mark.skipif(not CPU_ONLY_BUILD, reason="spconv's builds for CUDA use one thread on the CPU")
def test_several_threads_on_the_cpu_are_warned_of():
    kernel_map, _ = random_twins(30).submanifold((3, 3, 3))
    operands = torch.randn(30, 4), torch.randn(27, 4, 4)
    assert backend.known_fault(DEVICE) is None
    torch.set_num_threads(2)
    assert "2 threads" in backend.known_fault(DEVICE)
    with pytest.warns(RuntimeWarning, match=r"some rows.*are wrong.*set_num_threads\(1\)"):
        backend.convolve(*operands, kernel_map)


def test_wrong_operands_are_refused_before_spconv_reads_them():
    kernel_map, exact_map = random_twins(20).submanifold((1, 1, 3))
    features, weight = torch.zeros(20, 4, device=DEVICE), torch.zeros(3, 4, 4, device=DEVICE)
    with pytest.raises(ValueError, match=r"features \(19, 4\).*20 input sites"):
        backend.convolve(features[:19], weight, kernel_map)
    with pytest.raises(ValueError, match=r"weight \(2, 4, 4\).*3 taps"):
        backend.convolve(features, weight[:2], kernel_map)
    with pytest.raises(TypeError, match="expected the same dtype and device"):
        backend.convolve(features.half(), weight, kernel_map)
    with pytest.raises(TypeError, match="KernelMap: expected one of Sites whose backend is spconv"):
        backend.convolve(features, weight, exact_map)


def test_a_missing_package_names_the_extra_to_install(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("pvd_core.sparse.backends.spconv")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "spconv", None)
    with pytest.raises(UserError, match=r"spconv is not installed.*pvd_ros\[gpu\].*without a GPU.*pvd_ros\[spconv\]"):
        load_backend("spconv")


@needs_gpu
def test_autocast_computes_in_float16():
    kernel_map, exact_map = random_twins(100).submanifold((1, 3, 3))
    operands = torch.randn(100, 8, device=DEVICE), torch.randn(9, 8, 8, device=DEVICE)
    with torch.autocast("cuda", torch.float16):
        actual = backend.convolve(*autocast(*operands), kernel_map)
    assert actual.dtype == torch.float16
    assert_close(actual, reference.convolve(*operands, exact_map), 2e-2)
