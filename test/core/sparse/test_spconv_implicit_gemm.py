"""The spconv backend's way for GPUs, on the CPU: autograd functions and signatures are spconv's own, plain torch on the
same tables stands in for its CUDA kernels."""

import contextlib
import inspect

import pytest
import torch
from random_coords import random_coords

from pvd_core.sparse import Sites
from pvd_core.sparse.backends import reference

pytest.importorskip("spconv", reason="spconv is not installed (extra spconv, or gpu)")

from spconv.core import ConvAlgo
from spconv.pytorch import ops

from pvd_core.sparse.backends import spconv as backend
from pvd_core.sparse.backends import spconv_implicit_gemm

STRIDED = [((3, 3, 3), (2, 2, 2)), ((3, 3, 3), (2, 2, 1)), ((2, 2, 2), (2, 2, 2))]  # (kernel, stride)
SHAPE = (9, 7, 6)


def tables(indices, batch_size, spatial_shape, algo, ksize, stride, padding, dilation, out_padding, subm, transpose,
           is_train, **_options):  # fmt: skip
    """What ops.get_indice_pairs_implicit_gemm returns, from spconv's lists of pairs."""
    assert algo == ConvAlgo.MaskImplicitGemm
    geometry = ksize, stride, padding, dilation, out_padding
    out_indices, pairs, counts = ops.get_indice_pairs(
        indices, batch_size, spatial_shape, ConvAlgo.Native, *geometry, subm, transpose
    )
    (taps, places), kernel_volume = (pairs[0] >= 0).nonzero().t(), pairs.shape[1]
    ins, outs = (pairs[side, taps, places].long() for side in (0, 1))
    forward = torch.full((kernel_volume, len(out_indices)), -1, dtype=torch.int32)
    backward = torch.full((kernel_volume, len(indices)), -1, dtype=torch.int32)
    forward[taps, outs], backward[taps, ins] = ins.int(), outs.int()
    sides = [([tap_bits(table)], [tap_bits(table)[:, 0].argsort().int()]) for table in (forward, backward)]
    if not is_train:
        backward = torch.Tensor()
    if subm or not is_train:
        sides[1] = [], []
    masks = [torch.tensor([0xFFFFFFFF]).numpy().astype("uint32")]
    return out_indices, counts, forward, backward, sides[0][0], sides[1][0], sides[0][1], sides[1][1], masks


def tap_bits(table_KV):
    bits_K = torch.tensor([1 << tap for tap in range(len(table_KV))])
    return ((table_KV >= 0) * bits_K[:, None]).sum(dim=0).int()[:, None]


def implicit_gemm(features, filters, pair_fwd, pair_mask_fwd_splits, mask_argsort_fwd_splits, num_activate_out, masks,
                  is_train, is_subm, **_options):  # fmt: skip
    assert features.is_contiguous()
    assert filters.is_contiguous()
    assert_is_sorted(pair_fwd, pair_mask_fwd_splits, mask_argsort_fwd_splits, num_activate_out)
    out = sum_over_taps(features, filters.flatten(1, 3).permute(1, 2, 0), pair_fwd)
    return out, torch.zeros(1, 1, 1, dtype=torch.int32) if is_train else None, 32


def implicit_gemm_backward(features, filters, out_bp, pair_fwd, pair_bwd, pair_mask_fwd_splits, pair_mask_bwd_splits,
                           mask_argsort_fwd_splits, mask_argsort_bwd_splits, mask_output_fwd, masks, mask_width,
                           is_subm, **_options):  # fmt: skip
    assert_is_sorted(pair_fwd, pair_mask_fwd_splits, mask_argsort_fwd_splits, len(out_bp))
    if not is_subm:
        assert_is_sorted(pair_bwd, pair_mask_bwd_splits, mask_argsort_bwd_splits, len(features))
    grad_features = sum_over_taps(out_bp, filters.flatten(1, 3).permute(1, 0, 2), pair_bwd)
    taps = [(rows_V >= 0).nonzero().squeeze(1) for rows_V in pair_fwd]
    gradients = [out_bp[outs].t() @ features[rows_V[outs].long()] for outs, rows_V in zip(taps, pair_fwd, strict=True)]
    return grad_features, torch.stack(gradients, dim=1).view_as(filters)


def sum_over_taps(features, weight_KIO, table_KV):
    padded = torch.cat((features, features.new_zeros(1, features.shape[1])))
    return sum(padded[rows_V.long()] @ matrix for rows_V, matrix in zip(table_KV, weight_KIO, strict=True))


def assert_is_sorted(table_KV, bits, order, num_rows):
    (bits_V1,), (order_V,) = bits, order
    assert table_KV.shape[1] == num_rows
    assert torch.equal(bits_V1, tap_bits(table_KV))
    assert (bits_V1[order_V.long(), 0].diff() >= 0).all()


@pytest.fixture(autouse=True)
def kernels_in_torch(monkeypatch):
    """In place of spconv's, each called through the signature of the one that it stands for."""
    stand_ins = {
        "get_indice_pairs_implicit_gemm": tables,
        "implicit_gemm": implicit_gemm,
        "implicit_gemm_backward": implicit_gemm_backward,
    }
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(ops, name, through_signature_of(getattr(ops, name), stand_in))
    monkeypatch.setattr(spconv_implicit_gemm, "_set_for", lambda *_: contextlib.nullcontext())
    build = spconv_implicit_gemm.ImplicitGemmMap.build
    monkeypatch.setattr(backend, "_built", lambda problem: build(problem, backend._PACKAGE))


def through_signature_of(original, stand_in):
    signature = inspect.signature(original)
    return lambda *args, **kwargs: stand_in(**signature.bind(*args, **kwargs).arguments)


def random_sites(num_sites, engine):
    return Sites(random_coords(num_sites, SHAPE), SHAPE, 2, engine)


def assert_same_as_reference(kernel_map, exact_map, order_in=None, order_out=None):
    """Values and gradients; rows of the reference's are `order_in` and `order_out` of spconv's."""
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(kernel_map.num_in, 5, generator=generator, requires_grad=True)
    weight = torch.randn(len(exact_map.num_pairs_K), 5, 3, generator=generator, requires_grad=True)
    exact_features = features if order_in is None else features[order_in]
    expected = reference.convolve(exact_features, weight, exact_map)

    trained = backend.convolve(features, weight, kernel_map)
    with torch.no_grad():
        inferred = backend.convolve(features, weight, kernel_map)

    direction = torch.randn(expected.shape, generator=generator)
    results = [result if order_out is None else result[order_out] for result in (trained, inferred)]
    assert kernel_map.num_pairs_K == exact_map.num_pairs_K
    for result in results:
        assert (result - expected).abs().max() < 1e-5 * expected.abs().max()
    gradients, exact_gradients = (
        torch.autograd.grad(result, (features, weight), direction) for result in (results[0], expected)
    )
    for gradient, exact_gradient in zip(gradients, exact_gradients, strict=True):
        assert (gradient - exact_gradient).abs().max() < 1e-5 * exact_gradient.abs().max()


@pytest.mark.parametrize("kernel", [(1, 3, 3), (3, 1, 3), (3, 3, 3), (1, 1, 3)])
@pytest.mark.parametrize("is_built_for_inference", [False, True])
@pytest.mark.parametrize("num_sites", [1, 90])
def test_submanifold_maps_equal_the_reference(kernel, is_built_for_inference, num_sites):
    sites, exact_sites = random_sites(num_sites, backend), random_sites(num_sites, reference)
    with torch.set_grad_enabled(not is_built_for_inference):
        kernel_map = sites.map(kernel)
    assert kernel_map.has_backward != is_built_for_inference
    assert_same_as_reference(kernel_map, exact_sites.map(kernel))


@pytest.mark.parametrize(("kernel", "stride"), STRIDED)
@pytest.mark.parametrize("is_built_for_inference", [False, True])
def test_strided_and_inverse_maps_equal_the_reference(kernel, stride, is_built_for_inference):
    sites, exact_sites = random_sites(90, backend), random_sites(90, reference)
    with torch.set_grad_enabled(not is_built_for_inference):
        coarse, kernel_map = sites.coarse(kernel, stride), sites.map(kernel, stride)
    exact_coarse, exact_map = exact_sites.coarse(kernel, stride), exact_sites.map(kernel, stride)
    order = torch.tensor(sorted(range(coarse.num_sites), key=coarse.coords_V4.tolist().__getitem__))
    assert torch.equal(coarse.coords_V4[order], exact_coarse.coords_V4)
    assert_same_as_reference(kernel_map, exact_map, order_out=order)
    assert_same_as_reference(kernel_map.transposed, exact_map.transposed, order_in=order)
