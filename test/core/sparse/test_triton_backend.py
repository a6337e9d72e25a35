"""The Triton backend against the reference: on the GPU where there is one, else in Triton's interpreter on the CPU."""

import importlib.util
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from unittest import mock

import numpy as np
import pytest
import torch
from random_coords import random_coords

from pvd_core.borders.errors import UserError
from pvd_core.models import build_model
from pvd_core.models.blocks import ConvActNorm, ConvNormSigmoid
from pvd_core.sparse import Sites
from pvd_core.sparse.backends import load_backend, reference
from pvd_core.sparse.backends.triton_blocks import block_sizes, row_blocks
from pvd_core.sparse.tensor import autocast
from pvd_core.voxels import CylindricalGrid

pytest.importorskip("triton", reason="triton is not installed (extra gpu)")
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
# Only the kernels' own file reads the switch here, and only while it is imported: other tests do not see it.
with mock.patch.dict(os.environ, {} if DEVICE.type == "cuda" else {"TRITON_INTERPRET": "1"}):
    from pvd_core.sparse.backends import triton as backend

KERNELS = [(1, 3, 3), (3, 1, 3), (3, 3, 3), (3, 1, 1), (1, 3, 1), (1, 1, 3), (1, 1, 1)]
STRIDED = [((3, 3, 3), (2, 2, 2)), ((3, 3, 3), (2, 2, 1)), ((2, 2, 2), (2, 2, 2))]  # (kernel, stride)
SHAPE = (9, 7, 6)


def random_sites(num_sites, shape=SHAPE, batch_size=2):
    return Sites(random_coords(num_sites, shape, batch_size).to(DEVICE), shape, batch_size)


def random_operands(kernel_map, channels_in, channels_out, dtype=torch.float32):
    """Features and weight, leaves, of that precision."""
    generator = torch.Generator().manual_seed(1)
    shapes = (kernel_map.num_in, channels_in), (len(kernel_map.num_pairs_K), channels_in, channels_out)
    operands = (torch.randn(shape, generator=generator).to(DEVICE, dtype) for shape in shapes)
    return tuple(operand.requires_grad_() for operand in operands)


def small_model(**settings):
    """In evaluation mode, on a grid whose levels fit into few blocks: the interpreter is slow."""
    widths = {"width": 4, "num_point_features": 16, "point_mlp_widths": (16,), "grid": {"shape": (12, 9, 4)}}
    return build_model({**widths, **settings}).eval().to(DEVICE)


def small_batch(grid):
    points = torch.rand(40, 4, generator=torch.Generator().manual_seed(4)) * torch.tensor([40, 40, 5, 1])
    return grid.voxelise([(points - torch.tensor([20, 20, 3.5, 0])).to(DEVICE)])


def assert_close(actual, expected, tolerance):
    """Largest error, relative to the largest expected value."""
    assert actual.shape == expected.shape
    if expected.numel():
        assert (actual.float() - expected).abs().max() <= tolerance * expected.abs().max()


def assert_same_as_reference(kernel_map, channels, dtype=torch.float32, tolerance=2e-6):
    """Values and both gradients, against the reference in float64 on the same numbers."""
    # In float32 its own error is as large as the tolerance.
    operands = random_operands(kernel_map, *channels, dtype)
    exact_operands = tuple(operand.detach().double().requires_grad_() for operand in operands)

    actual = backend.convolve(*operands, kernel_map)

    expected = reference.convolve(*exact_operands, kernel_map)
    assert actual.dtype == dtype
    assert_close(actual, expected, tolerance)
    direction = torch.randn(actual.shape, generator=torch.Generator().manual_seed(2)).to(DEVICE, dtype)
    gradients = torch.autograd.grad(actual, operands, direction)
    exact_gradients = torch.autograd.grad(expected, exact_operands, direction.double())
    for gradient, exact_gradient in zip(gradients, exact_gradients, strict=True):
        assert gradient.dtype == dtype
        assert_close(gradient, exact_gradient, tolerance)


@pytest.mark.parametrize("kernel", KERNELS)
def test_every_kernel_shape_equals_the_reference(kernel):
    assert_same_as_reference(random_sites(150).map(kernel), (16, 16))


@pytest.mark.parametrize(("kernel", "stride"), STRIDED)
@pytest.mark.parametrize("is_inverse", [False, True])
def test_strided_and_inverse_convolution_equal_the_reference(kernel, stride, is_inverse):
    kernel_map = random_sites(90).map(kernel, stride)
    assert_same_as_reference(kernel_map.transposed if is_inverse else kernel_map, (8, 16))


@pytest.mark.parametrize("channels", [(3, 5), (20, 3), (5, 20), (1, 1), (70, 33)])
def test_channel_counts_that_fill_no_block_equal_the_reference(channels):
    assert_same_as_reference(random_sites(70).map((1, 3, 3)), channels)


@pytest.mark.parametrize("channels", [(16, 20), (70, 80)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 6e-4), (torch.bfloat16, 5e-3)])
def test_half_precision_equals_the_reference_within_the_rounding_of_the_result(channels, dtype, tolerance):
    assert_same_as_reference(random_sites(130).map((1, 3, 3)), channels, dtype, tolerance)


def test_tf32_is_used_where_torch_may_use_it():
    kernel_map = random_sites(100).map((3, 1, 3))
    precision = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("high")
        assert backend._products(torch.zeros(1, device=DEVICE))["INPUT_PRECISION"] == "tf32"
        assert_same_as_reference(kernel_map, (32, 20), tolerance=2e-3)
    finally:
        torch.set_float32_matmul_precision(precision)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sums_are_taken_in_float32(dtype):
    kernel_map = random_sites(27, shape=(3, 3, 3), batch_size=1).map((3, 3, 3))
    features = torch.ones(27, 128, dtype=dtype, device=DEVICE)
    weight = torch.ones(27, 128, 1, dtype=dtype, device=DEVICE)

    result = backend.convolve(features, weight, kernel_map)

    # Sums in float16 stop growing at 2,048, in bfloat16 at 256.
    assert result.max() == 27 * 128


@pytest.mark.parametrize("num_sites", [0, 1])
def test_one_voxel_and_no_voxels_equal_the_reference(num_sites):
    sites = random_sites(num_sites)
    strided_map = sites.map((3, 3, 3), (2, 2, 2))
    for kernel_map in (sites.map((3, 3, 3)), strided_map, strided_map.transposed):
        assert_same_as_reference(kernel_map, (4, 6))


def test_a_weight_gradient_in_several_splits_equals_the_reference_and_repeats_bit_by_bit(monkeypatch):
    monkeypatch.setattr(backend, "_PAIRS_A_SPLIT", 128)
    kernel_map = random_sites(300, shape=(20, 15, 2), batch_size=1).map((1, 1, 3))
    assert max(kernel_map.num_pairs_K) > 2 * backend._PAIRS_A_SPLIT
    assert_same_as_reference(kernel_map, (8, 8))

    features, weight = random_operands(kernel_map, 8, 8)
    results = [backend.convolve(features, weight, kernel_map) for _ in range(2)]
    gradients = [torch.autograd.grad(result.square().sum(), (features, weight)) for result in results]

    assert torch.equal(*results)
    assert all(torch.equal(*pair) for pair in zip(*gradients, strict=True))


def test_operands_that_are_not_contiguous_equal_the_reference():
    kernel_map = random_sites(80).map((3, 1, 1))
    features = torch.randn(16, 80, device=DEVICE).t().requires_grad_()
    weight = torch.randn(3, 8, 16, device=DEVICE).transpose(1, 2).requires_grad_()

    # The gradient of a sum is one number, expanded.
    gradients = torch.autograd.grad(backend.convolve(features, weight, kernel_map).sum(), (features, weight))

    expected = torch.autograd.grad(reference.convolve(features, weight, kernel_map).sum(), (features, weight))
    for gradient, exact_gradient in zip(gradients, expected, strict=True):
        assert_close(gradient, exact_gradient, 2e-6)


def test_autocast_gives_its_dtype_and_float32_gradients():
    kernel_map = random_sites(100).map((1, 3, 3))
    operands = random_operands(kernel_map, 8, 8)
    with torch.autocast(DEVICE.type, torch.bfloat16):
        actual = backend.convolve(*autocast(*operands), kernel_map)
        expected = reference.convolve(*autocast(*operands), kernel_map)

    assert actual.dtype == expected.dtype == torch.bfloat16
    assert_close(actual, expected.float(), 0.01)
    gradients = [torch.autograd.grad(result.float().square().sum(), operands) for result in (actual, expected)]
    for gradient, expected_gradient in zip(*gradients, strict=True):
        assert gradient.dtype == torch.float32
        assert_close(gradient, expected_gradient, 0.03)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize(
    "epilogue",
    [
        (),
        ("bias",),
        ("slope",),
        ("scale", "shift"),
        ("slope", "scale", "shift"),
        ("bias", "slope", "scale", "shift"),
        ("bias", "scale", "shift", "last slope"),
        ("scale", "shift", "added", "last slope"),
    ],
    ids="+".join,
)
def test_fused_epilogue_equals_plain_torch_operations(epilogue, dtype):
    kernel_map = random_sites(100).map((1, 1, 3))
    features, weight = (operand.detach() for operand in random_operands(kernel_map, 16, 20, dtype))
    bias, scale, shift = torch.randn(3, 20, generator=torch.Generator().manual_seed(3)).to(DEVICE)

    added = torch.randn(kernel_map.num_out, 20, generator=torch.Generator().manual_seed(4)).to(DEVICE, dtype)
    options = {"bias": bias, "scale": scale, "shift": shift, "added": added}
    options = {name: value for name, value in options.items() if name in epilogue}
    if "slope" in epilogue:
        options["negative_slope"] = 0.01
    if "last slope" in epilogue:
        options |= {"negative_slope": 0.0, "activates_last": True}
    actual = backend.convolve_fused(features, weight, kernel_map, **options)

    expected = reference.convolve(features.float(), weight.float(), kernel_map)
    if "bias" in epilogue:
        expected = expected + bias
    if "slope" in epilogue:
        expected = torch.nn.functional.leaky_relu(expected, 0.01)
    if "scale" in epilogue:
        expected = expected * scale
    if "shift" in epilogue:
        expected = expected + shift
    if "added" in epilogue:
        expected = expected + added
    if "last slope" in epilogue:
        expected = torch.relu(expected)
    assert actual.dtype == dtype
    assert_close(actual, expected, 2e-6 if dtype == torch.float32 else 6e-4)


def test_a_crop_of_a_real_scan_equals_the_reference(shared_data):
    scan = shared_data / "semantickitti" / "sequences" / "00" / "velodyne" / "000000.bin"
    points = torch.from_numpy(np.fromfile(scan, dtype="<f4").reshape(-1, 4))
    rho, phi = torch.hypot(points[:, 0], points[:, 1]), torch.atan2(points[:, 1], points[:, 0])
    batch = CylindricalGrid().voxelise([points[(rho < 11) & (phi.abs() < 0.06)]])
    assert 100 < batch.num_voxels < 500
    sites = Sites(batch.coords_V4.to(DEVICE), batch.shape, batch.batch_size)

    assert_same_as_reference(sites.map((3, 3, 3)), (16, 16))
    assert_same_as_reference(sites.map((3, 3, 3), (2, 2, 2)), (16, 32))


def test_the_whole_network_with_kernels_as_trained_equals_the_reference():
    torch.manual_seed(0)
    model = small_model(kernels="as_trained", refinement="none")
    batch = small_batch(model.grid)

    with torch.no_grad():
        expected = model(batch).voxel_logits_VC
        model.backend = backend
        actual = model(batch).voxel_logits_VC

    assert_close(actual, expected, 1e-5)


def test_the_network_fuses_norms_and_activations_into_its_convolutions_and_only_without_gradients(monkeypatch):
    torch.manual_seed(0)
    model = small_model(refinement="R3")
    for norm in (module for module in model.modules() if isinstance(module, torch.nn.BatchNorm1d)):
        torch.nn.init.normal_(norm.running_mean)
        torch.nn.init.uniform_(norm.running_var, 0.5, 2.0)
        torch.nn.init.uniform_(norm.weight, -1.0, 2.0)
        torch.nn.init.normal_(norm.bias)
    batch = small_batch(model.grid)
    num_layers = sum(isinstance(module, ConvActNorm | ConvNormSigmoid) for module in model.modules())
    calls = []
    monkeypatch.setattr(
        backend, "convolve_fused", lambda *operands, fused=backend.convolve_fused: calls.append(1) or fused(*operands)
    )

    with torch.no_grad():
        expected = model(batch)
        model.backend = backend
        actual = model(batch)
    num_fused = len(calls)
    with_gradients = model(batch)

    # The head's bias is an epilogue too.
    assert num_fused == num_layers + 1 == len(calls)
    for output in (actual, with_gradients):
        assert_close(output.voxel_logits_VC, expected.voxel_logits_VC, 1e-5)
        assert_close(output.point_logits_PC, expected.point_logits_PC, 1e-5)


@pytest.mark.parametrize("is_sorted", [False, True])
def test_blocks_hold_every_row_once_and_list_exactly_the_taps_of_their_rows(is_sorted):
    kernel_map = random_sites(150).map((3, 3, 3))
    table = kernel_map.table()

    blocks = row_blocks(kernel_map, 16, is_sorted)

    is_row = blocks.rows_V >= 0
    assert torch.equal(blocks.rows_V[is_row].sort().values, torch.arange(150, dtype=torch.int32, device=DEVICE))
    assert torch.equal(blocks.table_KV[:, is_row], table[:, blocks.rows_V[is_row]])
    assert (blocks.table_KV[:, ~is_row] == -1).all()
    for block, columns in enumerate(blocks.table_KV.split(16, dim=1)):
        needed = (columns >= 0).any(dim=1).nonzero().squeeze(1).int()
        assert torch.equal(blocks.taps_BK[block, : blocks.num_taps_B[block]], needed)
    assert row_blocks(kernel_map, 16, is_sorted) is blocks


def test_sorted_rows_skip_more_taps():
    kernel_map = random_sites(2000, shape=(40, 30, 10)).map((1, 3, 3))
    num_taps = [row_blocks(kernel_map, 64, is_sorted).num_taps_B.sum() for is_sorted in (False, True)]
    assert num_taps[1] < 0.8 * num_taps[0]


def test_wrong_operands_are_refused_before_a_kernel_reads_them():
    kernel_map = random_sites(20).map((1, 1, 3))
    features, weight = random_operands(kernel_map, 4, 4)
    with pytest.raises(ValueError, match=r"features \(19, 4\).*20 input sites"):
        backend.convolve(features[:19], weight, kernel_map)
    with pytest.raises(ValueError, match=r"weight \(2, 4, 4\).*3 taps"):
        backend.convolve(features, weight[:2], kernel_map)
    with pytest.raises(ValueError, match="bias has shape"), torch.no_grad():
        backend.convolve_fused(features, weight, kernel_map, bias=torch.zeros(3, device=DEVICE))
    with pytest.raises(TypeError, match=r"float64.*expected one of float32"):
        backend.convolve(features.double(), weight.double(), kernel_map)
    with pytest.raises(TypeError, match=r"float16 and weight torch.float32"):
        backend.convolve(features.half(), weight, kernel_map)
    with pytest.raises(RuntimeError, match="no gradients"):
        backend.convolve_fused(features, weight, kernel_map)


def test_features_on_the_cpu_name_the_backend_to_use_there(monkeypatch):
    monkeypatch.setattr(backend, "IS_INTERPRETED", False)
    with pytest.raises(UserError, match=r"needs a GPU; use backend 'reference'"):
        backend.convolve(torch.zeros(0, 4), torch.zeros(1, 4, 4), random_sites(0).map((1, 1, 1)))


def test_a_missing_package_names_the_extra_to_install(monkeypatch):
    for name in ("triton", "triton_kernels"):
        monkeypatch.delitem(sys.modules, f"pvd_core.sparse.backends.{name}")
    monkeypatch.setitem(sys.modules, "triton", None)
    with pytest.raises(UserError, match=r"triton is not installed.*pvd_ros\[gpu\]"):
        load_backend("triton")


@pytest.fixture(scope="module")
def fresh_process():
    """Kernels that other tests ran in the interpreter leave changes in Triton's language."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.mark.parametrize(
    ("dtype", "precision"),
    [
        (torch.float32, "tf32"),
        (torch.float16, "ieee"),
        pytest.param(torch.float32, "ieee", marks=pytest.mark.slow),
        pytest.param(torch.bfloat16, "ieee", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize(("capability", "tensor_core"), [(80, "mma.sync"), (90, "wgmma")])
def test_kernels_compile_for_gpus_that_are_not_here(fresh_process, capability, tensor_core, dtype, precision, tmp_path):
    compiled = fresh_process.submit(compile_kernels, str(tmp_path), capability, dtype, precision).result()
    assert len(compiled) == 2
    for shared_bytes, ptx in compiled:
        # What every GPU with tensor cores gives a program without being asked.
        assert shared_bytes <= 48 * 1024
        uses_tensor_core = any(name in ptx for name in (tensor_core, "mma.sync"))
        assert uses_tensor_core == (dtype != torch.float32 or precision == "tf32")


def compile_kernels(cache, capability, dtype, precision):
    """(bytes of shared memory, PTX) of each kernel."""
    os.environ["TRITON_CACHE_DIR"] = cache
    spec = importlib.util.find_spec("pvd_core.sparse.backends.triton_kernels")
    kernels = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(kernels)
    both = (kernels.convolution_kernel, kernels.weight_gradient_kernel)
    compiled = [compile_kernel(kernel, capability, dtype, precision) for kernel in both]
    return [(each.metadata.shared, each.asm["ptx"]) for each in compiled]


def compile_kernel(kernel, capability, dtype, precision):
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    in_channels, out_channels = 64, 128
    sizes = block_sizes(in_channels, out_channels, torch.zeros(0, dtype=dtype), 40_000)
    constants = {
        "NUM_TAPS": 27, "IN_CHANNELS": in_channels, "OUT_CHANNELS": out_channels, "WEIGHT_IS_TRANSPOSED": False,
        "HAS_BIAS": True, "HAS_SLOPE": True, "HAS_SCALE": True, "HAS_SHIFT": True, "HAS_ADDED": True,
        "ACTIVATES_LAST": capability > 80, "WIDENS_OPERANDS": False,
        "INPUT_PRECISION": precision, "BLOCK_V": sizes.rows, "BLOCK_M": sizes.pairs, "BLOCK_I": sizes.in_channels,
        "BLOCK_O": sizes.out_channels,
    }  # fmt: skip
    operand = {torch.float32: "*fp32", torch.float16: "*fp16", torch.bfloat16: "*bf16"}[dtype]
    types = {
        "features_VI": operand, "weight_KIO": operand, "grad_VO": operand, "out_VO": operand, "table_KV": "*i32",
        "rows_V": "*i32", "taps_BK": "*i32", "num_taps_B": "*i32", "first_pair_K": "*i32", "in_index_M": "*i64",
        "out_index_M": "*i64", "bias_O": "*fp32", "scale_O": "*fp32", "shift_O": "*fp32", "added_VO": operand,
        "partial_SKIO": "*fp32", "negative_slope": "fp32", "num_columns": "i32", "num_splits": "i32",
    }  # fmt: skip
    signature = {name: types.get(name, "constexpr") for name in kernel.arg_names}
    values = {(i,): constants[name] for i, name in enumerate(kernel.arg_names) if signature[name] == "constexpr"}
    aligned = {(i,): [["tt.divisibility", 16]] for i, type in enumerate(signature.values()) if type.startswith("*")}
    options = {"num_warps": sizes.num_warps, "num_stages": sizes.num_stages, "enable_fp_fusion": True}
    return compile(ASTSource(kernel, signature, values, aligned), GPUTarget("cuda", capability, 32), options)
