"""The script that averages two stages of a training."""

import importlib.util

import pytest
import torch

from pvd_core.models import build_model
from pvd_core.weights import load_model, save_weights

_SMALL = {"width": 4, "num_point_features": 16, "point_mlp_widths": (16,), "grid": {"shape": (48, 36, 8)}}


@pytest.fixture(scope="module")
def script(project_root):
    spec = importlib.util.spec_from_file_location("average_weights", project_root / "scripts" / "average_weights.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def saved(path, seed, settings=_SMALL, **facts):
    torch.manual_seed(seed)
    model = build_model(settings)
    save_weights(path, model, facts)
    return model.state_dict()


def test_mean_lies_between_both_by_the_share_and_says_of_what_it_is_a_mean(script, tmp_path):
    paths = [str(tmp_path / f"{name}.safetensors") for name in ("a", "b", "mean")]
    earlier = saved(paths[0], 0, step=10)
    later = saved(paths[1], 1, step=20, validation={"miou": 0.5}, seed=7)

    assert script.main([*paths, "--share", "0.25"]) == 0

    model, facts = load_model(paths[2])
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, 0.75 * earlier[name] + 0.25 * later[name])
    assert facts["mean_of"] == {"share_of_later": 0.25, "earlier_step": 10, "later_step": 20}
    assert facts["seed"] == 7
    assert "validation" not in facts


def test_other_networks_are_refused(script, tmp_path, capsys):
    paths = [str(tmp_path / f"{name}.safetensors") for name in ("a", "b", "mean")]
    saved(paths[0], 0)
    saved(paths[1], 0, {**_SMALL, "width": 8})

    assert script.main(paths) == 1

    assert "different networks" in capsys.readouterr().err
    assert not (tmp_path / "mean.safetensors").exists()
