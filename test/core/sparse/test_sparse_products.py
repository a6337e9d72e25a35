"""Products cut into parts: the parts are the whole, whichever library multiplies them."""

import pytest
import torch

from pvd_core.runtime import onednn
from pvd_core.sparse.backends.products import add_outer_product, cuts

# Narrow, odd, wide, and so wide that even few rows are a large product.
CHANNELS = [(16, 8), (20, 20), (192, 64), (64, 20), (1536, 512)]
NUM_ROWS = [1, 63, 64, 65, 1000, 5000]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("num_rows", NUM_ROWS)
def test_products_of_the_cuts_are_those_of_the_whole_whatever_fills_up_their_rows(num_rows, channels, dtype):
    generator = torch.Generator().manual_seed(0)
    in_channels, out_channels = channels
    if dtype == torch.bfloat16 and not onednn.has_bfloat16() and num_rows * in_channels * out_channels > 1 << 30:
        num_rows = 300  # such a product takes a quarter of a minute there
    rows = torch.randn(num_rows, in_channels, generator=generator).to(dtype)
    matrix = torch.randn(channels, generator=generator).to(dtype)
    result = torch.full((num_rows, out_channels), torch.nan, dtype=dtype)

    start = 0
    for cut in cuts(num_rows, in_channels, out_channels, rows):
        end = start + cut.num_rows
        padding = torch.full((cut.num_padded - cut.num_rows, in_channels), torch.inf, dtype=dtype)
        cut.multiply_into(result[start:end], torch.cat([rows[start:end], padding]), matrix)
        start = end

    assert start == num_rows
    expected = rows.double() @ matrix.double()
    tolerance = {torch.float32: 1e-5, torch.bfloat16: 1e-2, torch.float64: 1e-13}[dtype]
    assert (result - expected).abs().max() < tolerance * expected.abs().max()


@pytest.mark.parametrize("channels", CHANNELS)
def test_row_counts_that_onednn_compiles_kernels_for_recur(channels):
    compiled = set()
    for num_rows in range(1, 3000, 7):
        for cut in cuts(num_rows, *channels, torch.empty(0, channels[0])):
            if cut.multiply_into.__name__ != "_multiply":
                compiled.add(cut.num_padded)

    assert all(count == onednn.power_of_two(count) for count in compiled)
    assert len(compiled) <= 8


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("channels", CHANNELS)
def test_outer_products_add_up_in_float32(channels, dtype):
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(1000, size, generator=generator).to(dtype) for size in channels)
    total = torch.zeros(channels)

    for _ in range(2):
        add_outer_product(total, left, right)

    expected = 2 * left.double().t() @ right.double()
    assert (total - expected).abs().max() < (1e-5 if dtype == torch.float32 else 1e-2) * expected.abs().max()
