"""Labels are the same bits whenever, and on however many CPU threads, a cloud is labelled."""

import pytest
import torch

from pvd_core.clouds.example import spinning_scan
from pvd_core.models import build_model
from pvd_core.segmenter import Segmenter

# Widths on both sides of every limit from which products take another way.
WIDTHS = (8, 16)


@pytest.fixture(autouse=True)
def threads_as_before():
    num_threads = torch.get_num_threads()
    yield
    torch.set_num_threads(num_threads)


@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=pytest.mark.bf16)])
@pytest.mark.parametrize("width", WIDTHS)
def test_logits_do_not_depend_on_the_number_of_threads_and_repeat(width, precision):
    model = build_model({"width": width, "grid": {"shape": (48, 36, 8)}})
    segmenter = Segmenter(model, precision=precision, backend="native")
    batch = segmenter.model.grid.voxelise([torch.from_numpy(spinning_scan(2500))])

    outputs = []
    for num_threads in (2, 1, 3, 4, 2):
        torch.set_num_threads(num_threads)
        outputs.append(segmenter.run_network(batch))

    for output in outputs[1:]:
        assert torch.equal(output.voxel_logits_VC, outputs[0].voxel_logits_VC)
        assert torch.equal(output.point_logits_PC, outputs[0].point_logits_PC)


@pytest.mark.parametrize("width", WIDTHS)
def test_gradients_repeat(width):
    model = build_model({"width": width, "grid": {"shape": (24, 18, 8)}}).train()
    batch = model.grid.voxelise([torch.from_numpy(spinning_scan(1000))])

    gradients = []
    for _ in range(2):
        loss = model(batch).point_logits_PC.logsumexp(dim=1).sum()
        gradients.append(torch.autograd.grad(loss, list(model.parameters()), allow_unused=True))

    for first, second in zip(*gradients, strict=True):
        assert (first is None) == (second is None)
        assert first is None or torch.equal(first, second)
