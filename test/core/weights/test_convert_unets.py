"""Checkpoints of MinkUNet, SPVCNN and SPVNAS: a forward pass by the official names and the official order of kernel
taps, written down here on its own, against the converted network."""

import itertools
import json

import pytest
import torch
from net_configs import OUTPUT_CHANNELS, net_config
from torch.nn import functional

from pvd_core.borders.errors import UserError
from pvd_core.models import build_model
from pvd_core.voxels import CartesianGrid
from pvd_core.weights import WeightsError, load_model, load_state
from pvd_core.weights.convert_unets import convert_unet, converted_unet
from pvd_core.weights.net_config import grid_of_net_config, plan_of_net_config, read_net_config

CHANNELS = (4, 4, 5, 6, 7, 7, 6, 5, 5)


GENERATOR = torch.Generator().manual_seed(0)


def tensor(*shape):
    return torch.randn(shape, generator=GENERATOR, dtype=torch.float64) * 0.3


def norm_tensors(name, channels):
    return {
        f"{name}.weight": tensor(channels),
        f"{name}.bias": tensor(channels),
        f"{name}.running_mean": tensor(channels),
        f"{name}.running_var": tensor(channels).abs() + 0.5,
        f"{name}.num_batches_tracked": torch.tensor(3),
    }


def kernel_tensor(volume, into, out):
    return tensor(into, out) if volume == 1 else tensor(volume, into, out)


def untouched_norm(name, channels):
    state = norm_tensors(name, channels)
    return state | {
        f"{name}.running_mean": torch.zeros(channels),
        f"{name}.running_var": torch.ones(channels),
        f"{name}.num_batches_tracked": torch.tensor(0),
    }


def official_unet(uses_branch=True):
    """A state_dict of SPVCNN with few channels, or of MinkUNet, which does not use its `point_transforms`."""
    cs, state = CHANNELS, {}

    def pair(name, first, volume, into, out):
        state[f"{name}.{first}.kernel"] = kernel_tensor(volume, into, out)
        state.update(norm_tensors(f"{name}.{first + 1}", out))

    def residual(name, into, out):
        pair(f"{name}.net", 0, 27, into, out)
        pair(f"{name}.net", 3, 27, out, out)
        if into != out:
            pair(f"{name}.downsample", 0, 1, into, out)

    pair("stem", 0, 27, 4, cs[0])
    pair("stem", 3, 27, cs[0], cs[0])
    for n in range(1, 5):
        pair(f"stage{n}.0.net", 0, 8, cs[n - 1], cs[n - 1])
        residual(f"stage{n}.1", cs[n - 1], cs[n])
        residual(f"stage{n}.2", cs[n], cs[n])
        pair(f"up{n}.0.net", 0, 8, cs[n + 3], cs[n + 4])
        residual(f"up{n}.1.0", cs[n + 4] + cs[4 - n], cs[n + 4])
        residual(f"up{n}.1.1", cs[n + 4], cs[n + 4])
    for k, (into, out) in enumerate(((cs[0], cs[4]), (cs[4], cs[6]), (cs[6], cs[8]))):
        state[f"point_transforms.{k}.0.weight"] = tensor(out, into)
        state[f"point_transforms.{k}.0.bias"] = tensor(out)
        norm = norm_tensors if uses_branch else untouched_norm
        state.update(norm(f"point_transforms.{k}.1", out))
    state["classifier.0.weight"], state["classifier.0.bias"] = tensor(19, cs[8]), tensor(19)
    return state


def official_offsets(size):
    """In the order of torchsparse's kernels: x fastest where the size is odd, z fastest where it is even."""
    steps = range(-(size // 2), size // 2 + 1) if size % 2 else range(size)
    if size % 2:
        return [(x, y, z) for z in steps for y in steps for x in steps]
    return list(itertools.product(steps, repeat=3))


class Official:
    """Features by coordinates (x, y, z), one scan."""

    def __init__(self, state):
        self.state = state

    def norm(self, name, rows):
        s = self.state
        mean, variance = s[f"{name}.running_mean"], s[f"{name}.running_var"]
        return (rows - mean) / torch.sqrt(variance + 1e-5) * s[f"{name}.weight"] + s[f"{name}.bias"]

    def conv(self, name, features, size, out_coords=None, stride=1, is_transposed=False):
        kernel = self.state[f"{name}.kernel"]
        if kernel.dim() == 2:
            return {site: row @ kernel for site, row in features.items()}
        result = {}
        for site in features if out_coords is None else out_coords:
            total = 0
            for offset, matrix in zip(official_offsets(size), kernel, strict=True):
                if is_transposed:  # the pairs of the convolution that made the coarse sites, the other way round
                    source = tuple((c - o) // stride for c, o in zip(site, offset, strict=True))
                    if any((c - o) % stride for c, o in zip(site, offset, strict=True)):
                        continue
                else:
                    source = tuple(c * stride + o for c, o in zip(site, offset, strict=True))
                if source in features:
                    total = total + features[source] @ matrix
            result[site] = total
        return result

    def normed(self, name, features, relu=True):
        sites, rows = list(features), torch.stack(list(features.values()))
        rows = self.norm(name, rows)
        return dict(zip(sites, rows.relu() if relu else rows, strict=True))

    def residual(self, name, features):
        hidden = self.normed(f"{name}.net.1", self.conv(f"{name}.net.0", features, 3))
        change = self.normed(f"{name}.net.4", self.conv(f"{name}.net.3", hidden, 3), relu=False)
        kept = features
        if f"{name}.downsample.0.kernel" in self.state:
            kept = self.normed(f"{name}.downsample.1", self.conv(f"{name}.downsample.0", features, 1), relu=False)
        return {site: (change[site] + kept[site]).relu() for site in features}

    def down(self, n, features):
        coarse = sorted({tuple(c // 2 for c in site) for site in features})
        features = self.normed(f"stage{n}.0.net.1", self.conv(f"stage{n}.0.net.0", features, 2, coarse, stride=2))
        return self.residual(f"stage{n}.2", self.residual(f"stage{n}.1", features))

    def up(self, n, features, skip):
        raised = self.conv(f"up{n}.0.net.0", features, 2, list(skip), stride=2, is_transposed=True)
        raised = self.normed(f"up{n}.0.net.1", raised)
        joined = {site: torch.cat((raised[site], skip[site])) for site in skip}
        return self.residual(f"up{n}.1.1", self.residual(f"up{n}.1.0", joined))

    def minkunet(self, features):
        x0 = self.normed("stem.4", self.conv("stem.3", self.normed("stem.1", self.conv("stem.0", features, 3)), 3))
        levels = [x0]
        for n in range(1, 5):
            levels.append(self.down(n, levels[-1]))
        y = levels[4]
        for n in range(1, 5):
            y = self.up(n, y, levels[4 - n])
        rows = torch.stack([y[site] for site in features])
        return functional.linear(rows, self.state["classifier.0.weight"], self.state["classifier.0.bias"])


def in_float32(state):
    return {name: value.float() if value.is_floating_point() else value for name, value in state.items()}


def one_scan():
    generator = torch.Generator().manual_seed(5)
    return torch.cat((torch.rand(90, 3, generator=generator) * 9, torch.rand(90, 1, generator=generator)), dim=1)


def test_converted_minkunet_gives_the_scores_of_the_official_layers():
    official = official_unet(uses_branch=False)
    state, settings = converted_unet(official, "minkunet")
    model = build_model({**settings, "grid": {"voxel_size": 1.0}}).double().eval()
    load_state(model, state, "test")
    batch = model.grid.voxelise([one_scan()])
    first = {voxel: number for number, voxel in reversed(list(enumerate(batch.point_to_voxel_P.tolist())))}
    features = {
        tuple(site): batch.point_features_PF[first[voxel]].double()
        for voxel, site in enumerate(batch.coords_V4[:, 1:].tolist())
    }

    scores = model(batch, with_points=False).voxel_logits_VC

    assert (scores[:, 1:] - Official(official).minkunet(features)).abs().max() < 1e-9
    assert not scores[:, 0].any()  # the ignored class, which the official networks do not have


def test_converted_spvcnn_takes_every_tensor_and_loads_from_its_file(tmp_path):
    official = {f"module.{name}": value for name, value in in_float32(official_unet()).items()}
    torch.save({"model": official}, tmp_path / "official.pt")
    facts = convert_unet(tmp_path / "official.pt", tmp_path / "ours.safetensors", "spvcnn")
    model, _ = load_model(tmp_path / "ours.safetensors")
    assert facts["layout"] == "torchsparse"
    assert torch.equal(model.branch[1].linear.weight, official["module.point_transforms.1.0.weight"])
    assert torch.equal(model.classifier.weight[1:], official["module.classifier.0.weight"])
    assert (
        sum(p.numel() for p in model.parameters())
        == sum(t.numel() for name, t in official.items() if "running" not in name and "tracked" not in name)
        + 1
        + CHANNELS[8]
    )


@pytest.mark.parametrize("given", ["minkunet", "spvcnn"])
def test_the_point_branch_tells_a_minkunet_from_an_spvcnn(given):
    other = "spvcnn" if given == "minkunet" else "minkunet"
    official = {f"module.{name}": value for name, value in official_unet(uses_branch=other == "spvcnn").items()}
    with pytest.raises(WeightsError, match=f"so it is no {given}: .* give --architecture {other}"):
        converted_unet(official, given)
    of_given = official_unet(uses_branch=given == "spvcnn")
    assert converted_unet(of_given, given)[1]["architecture"] == given


def test_a_minkunet_without_a_point_branch_is_taken_as_it_is_called():
    official = {name: value for name, value in official_unet().items() if "point_transforms" not in name}
    assert converted_unet(official, "minkunet")[1]["architecture"] == "minkunet"


def test_one_statistic_that_has_changed_tells_an_spvcnn():
    official = official_unet(uses_branch=False)
    official["point_transforms.2.1.num_batches_tracked"] = torch.tensor(143475)
    assert converted_unet(official, "spvcnn")[1]["architecture"] == "spvcnn"
    with pytest.raises(WeightsError, match="give --architecture spvcnn"):
        converted_unet(official, "minkunet")


def test_a_full_checkpoint_is_known_by_its_channel_ratio():
    model = build_model({"name": "minkunet-0.5x", "num_classes": 19})
    from pvd_core.weights.official_unets import layer_names

    theirs = {ours: official for official, ours in layer_names(model.config.unet)}
    official = {}
    for name, value in model.state_dict().items():
        layer, _, field = name.rpartition(".")
        is_kernel = layer.endswith("conv") and field == "weight"
        official[f"{theirs[layer]}.{'kernel' if is_kernel else field}"] = value.squeeze(0) if is_kernel else value
    _, settings = converted_unet(official, "minkunet")
    assert settings == {"architecture": "minkunet", "channel_ratio": 0.5}


def searched_state(plan):
    """A state_dict with the names of a determinised SPVNAS."""
    state = {}

    def named(name, volume, into, out):
        state[f"{name}.net.conv.kernel"] = kernel_tensor(volume, into, out)
        state.update(norm_tensors(f"{name}.net.bn", out))

    for first, into in ((0, 4), (3, 32)):
        state[f"stem.{first}.kernel"] = kernel_tensor(27, into, 32)
        state.update(norm_tensors(f"stem.{first + 1}", 32))
    channels = 32
    skips = (0,) * 4 + plan.skips
    for number, stage in enumerate((*plan.down, *plan.up)):
        place = f"downsample.{number}" if number < 4 else f"upsample.{number - 4}"
        named(f"{place}.transition", 8, channels, stage.step)
        channels = stage.step + skips[number]
        for index, block in enumerate(stage.blocks):
            named(f"{place}.feature.{index}.net.0", 27, channels, block.inner)
            named(f"{place}.feature.{index}.net.1", 27, block.inner, block.out)
            if block.projects:
                named(f"{place}.feature.{index}.downsample", 1, channels, block.out)
            channels = block.out
    places = plan.point_channels
    for k in range(3):
        state[f"point_transforms.{k}.net.conv.weight"] = tensor(places[k + 1], places[k])
        state[f"point_transforms.{k}.net.conv.bias"] = tensor(places[k + 1])
        state.update(norm_tensors(f"point_transforms.{k}.net.bn", places[k + 1]))
    state["classifier.linear.weight"], state["classifier.linear.bias"] = tensor(19, 128), tensor(19)
    return state


def test_a_searched_network_is_built_from_its_net_config_and_converted(tmp_path):
    (tmp_path / "net.config").write_text(json.dumps(net_config()))
    plan = plan_of_net_config(net_config(), "net.config")
    state = in_float32(searched_state(plan))
    torch.save({"model": state}, tmp_path / "init")
    convert_unet(tmp_path / "init", tmp_path / "ours.safetensors", "spvnas", tmp_path / "net.config")
    model, facts = load_model(tmp_path / "ours.safetensors")
    assert facts["model"]["plan"]["down"][1] == {"step": 32, "blocks": [[16, 32, True], [16, 32, False]]}
    assert torch.equal(model.classifier.weight[1:], state["classifier.linear.weight"][:, :16])
    assert model.grid.voxel_size == 0.05
    with torch.inference_mode():
        batch = model.grid.voxelise([one_scan()])
        assert torch.isfinite(model(batch).voxel_logits_VC).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"output_channels": [32] * 8}, "output_channels is"),
        ({"output_channels": [32] * 8 + [17]}, r"output_channels\[8\] is 17: expected a multiple of 16"),
        ({"downsample.0.transition": None}, "downsample.0.transition is null"),
        ({"upsample.3.feature": 3}, "upsample.3.feature is 3: expected a whole number from 1 to 2"),
        ({"upsample.2.feature.layers.0.net.layers.0": 20}, "is 20: expected a multiple of 16"),
        ({"downsample.1.transition": "wide"}, "downsample.1.transition is 'wide'"),
        ({"num_classes": 17}, "num_classes is 17: expected the 19"),
        ({"output_channels": [64, *OUTPUT_CHANNELS[1:]]}, r"output_channels\[0\] is 64: expected 32, .* of the stem"),
    ],
)
def test_choices_that_the_network_cannot_have_are_refused_by_name(change, message):
    with pytest.raises(UserError, match=message):
        plan_of_net_config({**net_config(), **change}, "net.config")


@pytest.mark.parametrize(
    ("pres", "vres", "message"),
    [
        (0.1, 0.05, "pres and vres are 0.1 and 0.05: expected the same"),
        (None, 0.05, "are null and 0.05"),
        ("a", "a", "are 'a' and 'a'"),
        (True, True, "are true and true"),
        (-0.05, -0.05, "net.config: pres and vres make no grid: grid voxel_size is -0.05: expected a number of metres"),
        (10**400, 10**400, "net.config: pres and vres make no grid"),
        (float("nan"), float("nan"), "pres and vres are nan and nan"),
    ],
)
def test_voxels_of_a_net_config_have_one_size(pres, vres, message):
    assert grid_of_net_config({"pres": 0.1, "vres": 0.1}, "net.config") == CartesianGrid(0.1)
    with pytest.raises(UserError, match=message):
        grid_of_net_config({"pres": pres, "vres": vres}, "net.config")


@pytest.mark.parametrize("name", net_config())
def test_what_a_net_config_lacks_is_called_missing(name, tmp_path):
    config = net_config() | {f"{way}sample.{number}.feature": 2 for way in ("down", "up") for number in range(4)}
    del config[name]
    (tmp_path / "net.config").write_text(json.dumps(config))
    with pytest.raises(UserError, match=rf"net\.config: {name if name not in ('pres', 'vres') else '.*'} .*missing"):
        read_net_config(tmp_path / "net.config")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("stage2.0.net.1.weight"), "no norm stage2.0.net.1"),
        (lambda s: s.update({"extra.weight": tensor(3)}), "unexpected tensor extra.weight"),
        (lambda s: s.update({"classifier.0.bias": tensor(16)}), "scores for 16 classes"),
        (lambda s: s.pop("classifier.0.bias"), "no classifier"),
        (lambda s: s.update({"stem.0.kernel": tensor(125, 4, 4)}), "expected 8 or 27 kernel taps"),
        (lambda s: s.update({"stem.4.weight": tensor(0)}), "test: stem.4.weight has 0 values: .* 1 to 4096"),
        (lambda s: s.update({"up3.1.0.net.4.weight": tensor(9000)}), "test: up3.1.0.net.4.weight has 9000 values"),
        (lambda s: s.update({"stage2.1.net.4.weight": tensor(6)}), "test: model settings: plan: a block without proj"),
        (lambda s: s.update({"classifier.0.weight": tensor(17, 5)}), "shapes 17x5 and 19: expected 19x5 and 19"),
        (lambda s: s.update({"classifier.0.weight": tensor(19)}), "shapes 19 and 19: expected 19x5"),
        (lambda s: s.update({"classifier.0.weight": tensor(19, 6)}), "shapes 19x6 and 19: expected 19x5"),
        (lambda s: s.update({"classifier.0.bias": tensor(19, 1)}), "shapes 19x5 and 19x1: expected 19x5 and 19"),
    ],
)
def test_checkpoints_of_other_networks_are_refused(change, message):
    official = official_unet()
    change(official)
    with pytest.raises(WeightsError, match=message):
        converted_unet(official, "spvcnn", source="test")


def test_a_stem_wider_than_any_ratio_makes_a_plan():
    official = official_unet()
    official["stem.4.weight"] = tensor(600)
    _, settings = converted_unet(official, "spvcnn")
    assert settings["plan"]["stem"] == 600


@pytest.mark.parametrize("shape", [(19, 8), (16, 128), (19,), (19, 128, 1)])
def test_a_searched_network_refuses_a_classifier_that_does_not_fit(shape):
    plan = plan_of_net_config(net_config(), "net.config")
    official = {**searched_state(plan), "classifier.linear.weight": tensor(*shape)}
    with pytest.raises(WeightsError, match="and 19: expected 19x16 or more and 19"):
        converted_unet(official, "spvnas", plan)


def test_a_missing_convolution_is_named(tmp_path):
    official = in_float32(official_unet(uses_branch=False))
    del official["up2.1.0.net.3.kernel"]
    torch.save(official, tmp_path / "official.pt")
    with pytest.raises(WeightsError, match=r"missing backbone.up.1.blocks.0.second.conv.weight"):
        convert_unet(tmp_path / "official.pt", tmp_path / "ours.safetensors", "minkunet")


def test_a_net_config_goes_with_spvnas_alone(tmp_path):
    with pytest.raises(WeightsError, match=r"comes with a net\.config"):
        convert_unet(tmp_path / "x", tmp_path / "y", "spvnas")
    with pytest.raises(WeightsError, match=r"has no net\.config"):
        convert_unet(tmp_path / "x", tmp_path / "y", "minkunet", tmp_path / "z")
