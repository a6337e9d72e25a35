"""MinkUNet, SPVCNN and SPVNAS: sizes against the published counts, layers against dense convolutions in float64."""

import pytest
import torch
from torch.nn import functional

from pvd_core.borders.errors import UserError
from pvd_core.models import build_model, minkunet, spvcnn
from pvd_core.models.unet_plan import plan_from_settings, plan_settings, ratio_plan
from pvd_core.native import library
from pvd_core.sparse.backends import load_backend
from pvd_core.sparse.interpolation import trilinear

TINY_PLAN = {
    "stem": 4,
    "down": [
        {"step": 4, "blocks": [[3, 5, True]]},
        {"step": 5, "blocks": [[4, 6, True], [3, 6, False]]},
        {"step": 6, "blocks": [[5, 7, True]]},
        {"step": 7, "blocks": [[6, 8, True]]},
    ],
    "up": [
        {"step": 5, "blocks": [[4, 7, True]]},
        {"step": 6, "blocks": [[3, 6, True], [4, 6, False]]},
        {"step": 4, "blocks": [[5, 5, True]]},
        {"step": 3, "blocks": [[4, 6, True]]},
    ],
}


def tiny(family):
    torch.manual_seed(1)
    model = build_model({"architecture": family, "plan": TINY_PLAN, "num_classes": 5, "grid": {"voxel_size": 1.0}})
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.1)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 2)
    for name, parameter in model.named_parameters():
        if "norm" in name:
            torch.nn.init.uniform_(parameter, -1, 1)  # scales of both signs
    return model.double().eval()


def some_scans(num_scans=2, num_points=160, size=14):
    generator = torch.Generator().manual_seed(3)
    xyz = [torch.rand(num_points, 3, generator=generator) * size for _ in range(num_scans)]
    return [torch.cat((each, torch.rand(num_points, 1, generator=generator)), dim=1) for each in xyz]


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("preset", "num_parameters"),
    [
        ("minkunet-1x", 21_723_315), ("minkunet-0.64x", 8_771_298), ("minkunet-0.5x", 5_435_235),
        ("spvcnn-1x", 21_778_003), ("spvcnn-0.64x", 8_793_617), ("spvcnn-0.5x", 5_449_267),
    ],
)  # fmt: skip
def test_parameters_are_as_many_as_published(preset, num_parameters):
    model = build_model({"name": preset, "num_classes": 19})  # the published ones have no ignored class
    assert count(model) == num_parameters


class DenseLevels:
    """The same layers on dense grids: what is not a site is kept at 0. Rows stay in the order of the sites."""

    def __init__(self, batch):
        side = 16  # a multiple of the largest scale
        self.coords = [batch.coords_V4]
        for _ in range(4):
            fine = self.coords[-1]
            self.coords.append(torch.unique(torch.cat((fine[:, :1], fine[:, 1:] // 2), dim=1), dim=0))
        self.shapes = [(batch.batch_size, side >> level, side >> level, side >> level) for level in range(5)]

    def dense(self, rows, level):
        scan, x, y, z = self.coords[level].T
        grid = rows.new_zeros(*self.shapes[level], rows.shape[1])
        return grid.index_put((scan, x, y, z), rows).permute(0, 4, 1, 2, 3)

    def rows(self, dense, level):
        scan, x, y, z = self.coords[level].T
        return dense.permute(0, 2, 3, 4, 1)[scan, x, y, z]

    def conv_norm(self, layer, rows, level, to=None):
        conv, to = layer.conv, level if to is None else to
        kernel = conv.kernel
        weight = conv.weight.view(*kernel, *conv.weight.shape[1:])  # three taps, in, out
        dense = self.dense(rows, level)
        if to == level:
            dense = functional.conv3d(dense, weight.permute(4, 3, 0, 1, 2), padding=kernel[0] // 2)
        elif to > level:
            dense = functional.conv3d(dense, weight.permute(4, 3, 0, 1, 2), stride=2)
        else:
            dense = functional.conv_transpose3d(dense, weight.permute(3, 4, 0, 1, 2), stride=2)
        rows = layer.norm(self.rows(dense, to))
        return rows if layer.is_linear else rows.relu()

    def block(self, block, rows, level):
        change = self.conv_norm(block.second, self.conv_norm(block.first, rows, level), level)
        return (change + (rows if block.shortcut is None else self.conv_norm(block.shortcut, rows, level))).relu()

    def down(self, stage, rows, level):
        rows = self.conv_norm(stage.step, rows, level, level + 1)
        for block in stage.blocks:
            rows = self.block(block, rows, level + 1)
        return rows

    def up(self, stage, rows, level, skip):
        rows = torch.cat((self.conv_norm(stage.step, rows, level, level - 1), skip), dim=1)
        for block in stage.blocks:
            rows = self.block(block, rows, level - 1)
        return rows

    def interpolated(self, rows, level):
        """At every site of the finest level, one by one."""
        numbers = {tuple(site): number for number, site in enumerate(self.coords[level].tolist())}
        result = []
        for scan, *site in self.coords[0].tolist():
            place = [coordinate / 2**level for coordinate in site]
            low = [int(coordinate) for coordinate in place]
            total, weights = 0, 0
            for corner in range(8):
                offset = (corner >> 2 & 1, corner >> 1 & 1, corner & 1)
                weight = 1.0
                for axis in range(3):
                    part = place[axis] - low[axis]
                    weight *= part if offset[axis] else 1 - part
                number = numbers.get((scan, *(low[axis] + offset[axis] for axis in range(3))))
                if number is not None:
                    total, weights = total + weight * rows[number], weights + weight
            result.append(total / (weights + 1e-8))
        return torch.stack(result)

    def means(self, rows, level):
        """Of the finest sites in each site of a level."""
        numbers = {tuple(site): number for number, site in enumerate(self.coords[level].tolist())}
        members = [[] for _ in numbers]
        for number, (scan, *site) in enumerate(self.coords[0].tolist()):
            members[numbers[(scan, *(coordinate >> level for coordinate in site))]].append(number)
        return torch.stack([rows[each].mean(dim=0) for each in members])


def dense_encoder(model, levels, inputs):
    rows = inputs
    for layer in model.backbone.stem:
        rows = levels.conv_norm(layer, rows, 0)
    outputs = [rows]
    for level, stage in enumerate(model.backbone.down):
        outputs.append(levels.down(stage, outputs[-1], level))
    return outputs


def dense_minkunet(model, levels, inputs):
    *skips, rows = dense_encoder(model, levels, inputs)
    for number, stage in enumerate(model.backbone.up):
        rows = levels.up(stage, rows, 4 - number, skips[3 - number])
    return model.classifier(rows)


def dense_spvcnn(model, levels, inputs):
    x0, x1, x2, x3, x4 = dense_encoder(model, levels, inputs)
    up = model.backbone.up
    z1 = levels.interpolated(x4, 4) + model.branch[0](x0)
    y2 = levels.up(up[1], levels.up(up[0], levels.means(z1, 4), 4, x3), 3, x2)
    z2 = levels.interpolated(y2, 2) + model.branch[1](z1)
    y4 = levels.up(up[3], levels.up(up[2], levels.means(z2, 2), 2, x1), 1, x0)
    return model.classifier(y4 + model.branch[2](z2))


def first_points(batch):
    firsts = {}
    for number, voxel in enumerate(batch.point_to_voxel_P.tolist()):
        firsts.setdefault(voxel, number)
    return batch.point_features_PF[[firsts[voxel] for voxel in range(batch.num_voxels)]].double()


def scores_of_voxels(output, batch):
    if output.point_logits_PC is None:
        return output.voxel_logits_VC
    first = {voxel: number for number, voxel in reversed(list(enumerate(batch.point_to_voxel_P.tolist())))}
    return output.point_logits_PC[[first[voxel] for voxel in range(batch.num_voxels)]]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("family", "dense"), [("minkunet", dense_minkunet), ("spvcnn", dense_spvcnn)])
def test_values_and_gradients_are_those_of_dense_convolutions(family, dense, training):
    model = tiny(family)
    model.train(training)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.eval()
    batch = model.grid.voxelise(some_scans())
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    scores = scores_of_voxels(model(batch, with_points=False), batch)
    weights = torch.randn(scores.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    gradients = torch.autograd.grad((scores * weights).sum(), list(model.parameters()))

    model.load_state_dict(state)
    expected = dense(model, DenseLevels(batch), first_points(batch))
    expected_gradients = torch.autograd.grad((expected * weights).sum(), list(model.parameters()))
    # Weights of the interpolation are float32.
    assert (scores - expected).abs().max() < (1e-9 if family == "minkunet" else 1e-7)
    for (name, _), ours, theirs in zip(model.named_parameters(), gradients, expected_gradients, strict=True):
        assert (ours - theirs).abs().max() < 1e-6 * max(theirs.abs().max(), 1), name


@pytest.mark.parametrize("backend", ["reference", "native"])
@pytest.mark.parametrize("family", ["minkunet", "spvcnn"])
def test_inference_with_fused_layers_equals_the_plain_layers(family, backend):
    if backend == "native" and not library.status()[0]:
        pytest.skip(library.status()[1])
    model = tiny(family).float()
    batch = model.grid.voxelise(some_scans())
    expected = model(batch).voxel_logits_VC.detach()
    model.backend = load_backend(backend)
    with torch.inference_mode():
        assert (model(batch).voxel_logits_VC - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.parametrize("family", ["minkunet", "spvcnn"])
@pytest.mark.parametrize("num_points", [0, 1])
def test_clouds_without_points_and_of_one_point_are_labelled(family, num_points):
    model = tiny(family).float()
    with torch.inference_mode():
        output = model(model.grid.voxelise([some_scans(1)[0][:num_points]]))
        batch = model.grid.voxelise([some_scans(1)[0][:num_points]])
    labels, confidence = output.labels_of_points(batch.point_to_voxel_P)
    assert len(labels) == len(confidence) == num_points


@pytest.mark.parametrize("family", ["minkunet", "spvcnn"])
def test_a_scan_that_is_one_site_on_the_coarsest_level_is_learned_from(family):
    model = tiny(family).train()
    batch = model.grid.voxelise([some_scans(1, size=5)[0]])
    model(batch, with_points=True).point_logits_PC.square().mean().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters() if parameter.grad is not None)


def test_point_outputs_of_minkunet_are_interpolated_from_the_voxels_around():
    model = tiny("minkunet")
    scans = some_scans()
    batch = model.grid.voxelise(scans)
    output = model(batch, with_points=True)
    points = torch.cat(scans).double()
    for number in (0, 7, 200):
        scan = number // len(scans[0])
        place = points[number, :3] - batch.lowest_B3[scan]
        total, weights = 0, 0
        for row, (of_scan, *site) in enumerate(batch.coords_V4.tolist()):
            distance = (place - torch.tensor(site, dtype=torch.float64)).abs()
            if of_scan == scan and (distance < 1).all():
                weight = (1 - distance).prod()
                total, weights = total + weight * output.voxel_features_VE[row], weights + weight
        assert (output.point_features_PD[number] - total / weights).abs().max() < 1e-5
    assert torch.allclose(output.point_logits_PC, model.classifier(output.point_features_PD))


def test_a_plan_survives_its_settings_and_a_ratio_has_the_published_channels():
    assert plan_settings(plan_from_settings(TINY_PLAN)) == TINY_PLAN
    plan = ratio_plan(0.64)
    assert (plan.stem, *(stage.out for stage in (*plan.down, *plan.up))) == (20, 20, 40, 81, 163, 163, 81, 61, 61)
    assert not plan.down[0].blocks[0].projects
    assert plan.down[1].blocks[0].projects


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channel_ratio": 0}, "channel_ratio is 0"),
        ({"channel_ratio": "wide"}, "channel_ratio is 'wide'"),
        ({"channel_ratio": True}, "channel_ratio is true"),
        ({"channel_ratio": 10**400}, "channel_ratio is 1000"),
        ({"plan": TINY_PLAN, "channel_ratio": 0.5}, "channel_ratio is 0.5, but plan names .*: leave one out"),
        ({"plan": TINY_PLAN, "name": "minkunet-1x"}, "'minkunet-1x' has channels of its own, .*: leave one out"),
        ({"plan": TINY_PLAN, "name": "minkunet-0.25x"}, "'minkunet-0.25x' has channels of its own"),
        ({"plan": {"stem": 4}}, "expected a section with stem, down and up"),
        ({"plan": {**TINY_PLAN, "up": TINY_PLAN["up"][:3]}}, "expected 4 stages"),
        ({"plan": {**TINY_PLAN, "stem": 0}}, "plan.stem is 0"),
        (
            {"plan": {**TINY_PLAN, "down": [{"step": 4, "blocks": [[3, 5, False]]}, *TINY_PLAN["down"][1:]]}},
            "without proj",
        ),
        ({"plan": {**TINY_PLAN, "down": [{"step": 4, "blocks": []}, *TINY_PLAN["down"][1:]]}}, "1 to 8 blocks"),
        ({"grid": {"voxel_size": 0}}, "voxel_size"),
        ({"grid": {"shape": [4, 4, 4]}}, "shape"),
        (
            {"grid": {"kind": "cylindrical"}},
            "grid kind is 'cylindrical': networks of this family take a cartesian grid",
        ),
        ({"grid": 0.05}, "grid is 0.05: expected settings of a cartesian grid such as"),
        ({"width": 8}, "unknown model setting 'width'"),
        ({"name": "spvnas-1x"}, "unknown model 'spvnas-1x': an SPVNAS is made from its net.config, .*model.net_config"),
        ({"architecture": "SPVNAS"}, "unknown architecture 'SPVNAS': an SPVNAS is made from its net.config"),
        ({"architecture": "spvnas", "name": "minkunet-1x"}, "an SPVNAS is made from its net.config"),
        ({"name": "spvcnn-0.5x"}, "model.name 'spvcnn-0.5x' is a spvcnn, model.architecture says 'minkunet'"),
    ],
)
def test_impossible_settings_are_refused_by_name(settings, message):
    with pytest.raises(UserError, match=message):
        build_model({"architecture": "minkunet", **settings})


@pytest.mark.parametrize(("family", "num_places"), [("minkunet", 1), ("spvcnn", 2)])
def test_networks_on_the_same_sites_share_what_they_interpolate_with(family, num_places, monkeypatch):
    calls = []
    for module in (minkunet, spvcnn):
        monkeypatch.setattr(module, "trilinear", lambda *arguments: calls.append(1) or trilinear(*arguments))
    student, teacher = tiny(family), tiny(family)
    batch = student.grid.voxelise(some_scans())
    sites = student.sites_of(batch)

    with torch.no_grad():
        expected = student(batch, with_points=True).point_logits_PC  # on sites of its own
        teacher(batch, with_points=True, sites=sites)
    found = student(batch, with_points=True, sites=sites).point_logits_PC
    found.sum().backward()

    assert len(calls) == 2 * num_places
    assert (found - expected).abs().max() < 1e-6
