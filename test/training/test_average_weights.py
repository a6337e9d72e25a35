"""scripts/average_weights.py: the mean of several trainings of one network."""

import sys

import pytest
import torch
from tiny_dataset import TINY_MODEL

from pvd_core.models import build_model
from pvd_core.weights import load_model, save_weights
from pvd_core.weights.facts import DISTILLED_KEY
from scripts.average_weights import main

SIMULATED, REAL = {"dataset": "simulated", "sequences": ["00"]}, {"dataset": "real", "sequences": ["01"]}


def written(path, seed, facts=None, model=None):
    torch.manual_seed(seed)
    save_weights(path, build_model(model or TINY_MODEL), {"seed": seed, "step": 3, **(facts or {})})
    return path


def test_each_tensor_is_the_mean_and_the_facts_are_those_of_all(tmp_path, monkeypatch):
    files = [
        written(tmp_path / "a.safetensors", 1, {"training_data": SIMULATED, "validation": {"miou": 0.5}}),
        written(tmp_path / "b.safetensors", 2, {"training_data": REAL, "confidence": {"temperature": 2.0}}),
        written(tmp_path / "c.safetensors", 3),
    ]
    out = tmp_path / "mean.safetensors"
    monkeypatch.setattr(sys, "argv", ["average_weights", *map(str, files), "--out", str(out)])
    main()
    network, facts = load_model(out)
    states = [load_model(file)[0].state_dict() for file in files]
    for name, tensor in network.state_dict().items():
        expected = sum(state[name].double() for state in states) / 3
        assert torch.allclose(tensor.double(), expected, rtol=1e-6, atol=1e-8), name
    assert {each["dataset"] for each in facts["ancestors"]} == {"simulated", "real"}
    assert facts["averaged"] == [{"file": file.name, "seed": seed, "step": 3} for seed, file in enumerate(files, 1)]
    assert not {"validation", "confidence", "seed"} & facts.keys()


def test_what_has_no_mean_is_refused(tmp_path, monkeypatch):
    first = written(tmp_path / "a.safetensors", 1)
    wide = written(tmp_path / "wide.safetensors", 1, model={**TINY_MODEL, "width": 6})
    taught = written(tmp_path / "taught.safetensors", 2, {DISTILLED_KEY: {"method": "pvd", "teacher": {}}})
    kd = written(tmp_path / "kd.safetensors", 3, {DISTILLED_KEY: {"method": "kd", "teacher": {}}})
    new = tmp_path / "new.safetensors"
    for files, out, words in (
        ((first,), new, "name two or more"),
        ((first, first), new, "are the same: name each network once"),
        ((first, wide), new, "other networks"),
        ((first, taught), new, "or teachers"),
        ((kd, taught), new, "or teachers"),
        ((first, wide), first, "exists already"),
        ((first, wide), tmp_path / "new", "name a .safetensors file"),
    ):
        monkeypatch.setattr(sys, "argv", ["average_weights", *map(str, files), "--out", str(out)])
        with pytest.raises(SystemExit, match=words):
            main()
        assert not new.exists()
