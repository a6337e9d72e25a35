import json
import resource

import numpy as np
import pytest
import torch
from forked_calls import ForkedCall
from ros_weights import TINY
from safetensors.torch import load_file, save_file

from pvd_core.models import build_model
from pvd_core.weights import WeightsError, load_model, read_facts, save_weights


def rewrite(path, change, metadata=None):
    state = load_file(path)
    change(state)
    save_file(state, path, metadata=metadata or {"pvd": json.dumps(read_facts(path))})


def test_weights_come_back_with_their_facts_and_the_same_outputs(saved, tiny_model):
    model, path = tiny_model, saved
    loaded, facts = load_model(path)
    points = torch.from_numpy(np.random.default_rng(0).uniform(-20, 20, (500, 4)).astype(np.float32))
    batch = model.grid.voxelise([points])

    with torch.no_grad():
        assert torch.equal(model(batch).point_logits_PC, loaded(batch).point_logits_PC)
    assert loaded.config == model.config
    assert facts["training_data"] == "simulated"
    assert read_facts(path) == facts


def test_weights_in_half_take_half_the_room_and_are_what_float16_keeps_of_them(saved, tiny_model, tmp_path):
    path = tmp_path / "half.safetensors"
    save_weights(path, tiny_model, read_facts(saved), in_half=True)
    loaded, facts = load_model(path)

    for (name, exact), found in zip(tiny_model.state_dict().items(), loaded.state_dict().values(), strict=True):
        assert found.dtype == exact.dtype
        assert torch.equal(found, exact.half().float() if exact.dim() > 1 else exact), name
    assert facts == read_facts(saved)
    matrices = 2 * sum(tensor.numel() for tensor in tiny_model.state_dict().values() if tensor.dim() > 1)
    assert saved.stat().st_size - path.stat().st_size == pytest.approx(matrices, abs=64 * len(tiny_model.state_dict()))


@pytest.mark.parametrize(
    "spoil", [lambda w: w.view(-1)[3].fill_(1e5), lambda w: w.mul_(1e-9), lambda w: w.fill_(np.nan)]
)
def test_weights_that_float16_does_not_hold_are_refused_and_nothing_is_written(spoil, tmp_path):
    model, path = build_model(TINY), tmp_path / "half.safetensors"
    with torch.no_grad():
        spoil(model.head.conv.weight)
    with pytest.raises(ValueError, match=r"float16 does not hold head\.conv\.weight"):
        save_weights(path, model, in_half=True)
    assert not path.exists()


def test_missing_unexpected_and_misshaped_tensors_are_all_named(saved):
    path = saved

    def change(state):
        del state["point_mlp.out.bias"]
        state["surplus"] = torch.zeros(2)
        state["head.conv.bias"] = torch.zeros(7)

    rewrite(path, change)

    with pytest.raises(WeightsError) as error:
        load_model(path)
    assert "missing point_mlp.out.bias 8" in str(error.value)
    assert "unexpected surplus 2" in str(error.value)
    assert "head.conv.bias: the file has shape 7, the network expects 20" in str(error.value)


def test_values_that_are_not_finite_are_refused(saved):
    path = saved
    rewrite(path, lambda state: state["head.conv.bias"].fill_(torch.nan))

    with pytest.raises(WeightsError, match=r"head\.conv\.bias: holds values that are not finite"):
        load_model(path)


def test_a_failed_write_keeps_the_old_file(saved, monkeypatch, tiny_model):
    path = saved
    before = path.read_bytes()

    def full_disk(*_args, **_keywords):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pvd_core.weights.store.save_file", full_disk)
    with pytest.raises(Exception, match="No space left"):
        save_weights(path, tiny_model)

    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def save_on_a_full_disk(path):
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    save_weights(path, build_model("cylinder3d-compact"))


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path):
    path = tmp_path / "weights.safetensors"
    code, output = ForkedCall(save_on_a_full_disk, path).wait()
    assert code == 1
    assert f"UserError: cannot write {path}" in output
    assert list(tmp_path.iterdir()) == []
