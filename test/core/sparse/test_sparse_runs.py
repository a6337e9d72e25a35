"""Runs of neighbouring taps: which pairs they hold, and what they are multiplied to."""

import itertools

import pytest
import torch
from random_coords import random_coords

from pvd_core.sparse import KernelMap, Sites
from pvd_core.sparse.backends import reference

SHAPE = (9, 7, 6)
KERNELS = [(1, 3, 3), (3, 1, 3), (3, 3, 3), (3, 1, 1), (1, 1, 3)]
STRIDES = [(2, 2, 2), (2, 2, 1)]


def random_sites(num_sites, batch_size=2):
    generator = torch.Generator().manual_seed(num_sites)
    return Sites(random_coords(num_sites, SHAPE, batch_size, generator), SHAPE, batch_size)


def pairs_of_runs(runs):
    """(tap, input row, output row) of every pair, in the order of the runs."""
    rows, pairs = zip(runs.first_in_R.tolist(), runs.out_index_R.tolist(), strict=True), []
    for first_tap, length, count in runs.groups:
        for first_in, out_row in itertools.islice(rows, count):
            pairs += [(first_tap + step, first_in + step, out_row) for step in range(length)]
    assert next(rows, None) is None
    return pairs


@pytest.mark.parametrize("num_sites", [0, 1, 60, 400])
@pytest.mark.parametrize(("kernel", "stride"), [*((kernel, None) for kernel in KERNELS), *((None, s) for s in STRIDES)])
def test_every_pair_is_in_exactly_one_run(num_sites, kernel, stride):
    sites = random_sites(num_sites)
    kernel_map = sites.submanifold_map(kernel) if stride is None else sites.downsampled(stride)[1]

    for map_ in (kernel_map, kernel_map.transposed):
        table, runs = map_.table(), map_.runs
        if map_.is_transposed:
            table = table.flip(0)
        taps, outputs = (table >= 0).nonzero().t()
        expected = list(zip(taps.tolist(), table[taps, outputs].tolist(), outputs.tolist(), strict=True))
        assert sorted(pairs_of_runs(runs)) == expected
        first_taps = [tap for tap, _, count in runs.groups for _ in range(count)]
        keys = list(zip(runs.out_index_R.tolist(), first_taps, strict=True))
        by_output = sorted(range(len(keys)), key=keys.__getitem__)
        assert runs.run_numbers_R.tolist() == by_output
        sorted_outputs = runs.out_index_R[by_output]
        first_runs = torch.searchsorted(sorted_outputs, torch.arange(map_.num_out, dtype=torch.int32))
        assert torch.equal(runs.first_run_V, first_runs.int())


def test_sites_one_above_the_other_are_one_run_and_a_gap_ends_it():
    heights = torch.tensor([0, 1, 2, 4])
    coords = torch.stack([torch.zeros(4), torch.full((4,), 3), torch.full((4,), 3), heights], dim=1).long()

    runs = Sites(coords, SHAPE, 1).submanifold_map((3, 3, 3)).runs

    # Central taps 12 to 14: the lowest site and the one above it, all three, the two below the gap, one alone.
    assert runs.groups == ((13, 1, 1), (12, 2, 1), (13, 2, 1), (12, 3, 1))
    assert runs.first_in_R.tolist() == [3, 1, 0, 0]
    assert runs.out_index_R.tolist() == [3, 2, 0, 1]


@pytest.mark.parametrize("stride", STRIDES)
def test_a_symmetric_map_runs_backwards_with_the_same_runs_and_a_strided_one_with_its_own(stride):
    sites = random_sites(60)
    for kernel in KERNELS:
        kernel_map = sites.submanifold_map(kernel)
        assert kernel_map.transposed.runs is kernel_map.runs
    _, strided = sites.downsampled(stride)
    longest = max(length for _, length, _ in strided.transposed.runs.groups)
    # With stride 2 along z two neighbouring taps never meet the same fine site.
    assert longest == (1 if stride[2] == 2 else 3)


@pytest.mark.parametrize("is_training", [False, True])
def test_input_rows_in_any_order_give_the_same_results(is_training):
    sites = random_sites(300)
    kernel_map = sites.submanifold_map((3, 3, 3))
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(300, generator=generator)
    table = kernel_map.table()
    shuffled_map = KernelMap.from_table(torch.where(table >= 0, order.argsort().int()[table], -1), 300)
    features = torch.randn(300, 5, generator=generator, dtype=torch.float64, requires_grad=is_training)
    weight = torch.randn(27, 5, 7, generator=generator, dtype=torch.float64, requires_grad=is_training)

    expected = reference.convolve(features, weight, kernel_map)
    actual = reference.convolve(features[order], weight, shuffled_map)

    assert len(kernel_map.runs.out_index_R) < 0.8 * kernel_map.num_pairs
    assert len(shuffled_map.runs.out_index_R) > 0.9 * kernel_map.num_pairs
    assert (actual - expected).abs().max() < 1e-12
    if is_training:
        references = torch.autograd.grad(expected.square().sum(), (features, weight))
        gradients = torch.autograd.grad(actual.square().sum(), (features, weight))
        for gradient, reference_ in zip(gradients, references, strict=True):
            assert (gradient - reference_).abs().max() < 1e-10


@pytest.mark.parametrize("frozen", ["features", "weight"])
def test_one_gradient_alone_equals_the_one_taken_with_the_other(frozen):
    kernel_map = random_sites(200).downsampled((2, 2, 1))[1]
    features = torch.randn(kernel_map.num_in, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(27, 4, 6, dtype=torch.float64, requires_grad=True)
    reference.convolve(features, weight, kernel_map).square().sum().backward()

    operands = {"features": features, "weight": weight}
    alone = {name: value.detach().requires_grad_(name != frozen) for name, value in operands.items()}
    reference.convolve(alone["features"], alone["weight"], kernel_map).square().sum().backward()

    (learnt,) = operands.keys() - {frozen}
    assert torch.equal(alone[learnt].grad, operands[learnt].grad)
    assert alone[frozen].grad is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("channels", [(16, 8), (48, 16), (96, 32), (20, 20), (64, 64), (128, 64)])
def test_long_rows_do_not_depend_on_the_number_of_threads(channels, dtype):
    kernel_map = random_sites(600).submanifold_map((3, 3, 3))
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(600, channels[0], generator=generator).to(dtype)
    weight = torch.randn(27, *channels, generator=generator).to(dtype)
    threads = torch.get_num_threads()
    try:
        results = []
        for num_threads in (1, 2, 2):
            torch.set_num_threads(num_threads)
            results.append(reference.convolve(features, weight, kernel_map))
    finally:
        torch.set_num_threads(threads)

    assert torch.equal(results[0], results[1])
    assert torch.equal(results[1], results[2])
