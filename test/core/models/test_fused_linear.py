"""The fused inference path of the point layers against the plain one."""

import pytest
import torch

from pvd_core.models import build_model


def randomised(model):
    """Norms with statistics that are not those of a fresh network."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean.normal_(generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            module.weight.data.uniform_(0.5, 2, generator=generator)
            module.bias.data.normal_(generator=generator)
    return model.eval()


@pytest.mark.parametrize("num_points", [0, 1, 1024, 4096, 9001])
def test_fused_point_layers_equal_plain_ones(num_points):
    model = randomised(build_model({"width": 4, "grid": {"shape": (24, 18, 8)}}))
    generator = torch.Generator().manual_seed(1)
    points = torch.randn(num_points, 9, generator=generator)
    voxels = torch.randn(5, 16, generator=generator)
    point_to_voxel = torch.randint(0, 5, (num_points,), generator=generator)

    plain = model.point_mlp(points)
    plain_scores, plain_hidden = model.refinement(voxels, plain, point_to_voxel)
    with torch.no_grad():
        fused = model.point_mlp(points)
        fused_scores, fused_hidden = model.refinement(voxels, fused, point_to_voxel)

    for a, b in ((fused, plain), (fused_scores, plain_scores), (fused_hidden, plain_hidden)):
        assert a.shape == b.shape
        if num_points:
            assert (a - b).abs().max() < 1e-4 * max(1, b.abs().max())
