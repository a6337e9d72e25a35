"""The temperature in the header of weights: read, kept, and refused where it is none."""

import json

import pytest
from ros_weights import TINY
from safetensors.torch import load_file, save_file

from pvd_core.borders.errors import UserError
from pvd_core.models import build_model
from pvd_core.segmenter import Segmenter
from pvd_core.weights import WeightsError, load_model, read_facts, save_weights, temperature_of


def test_files_that_name_no_temperature_have_1(saved):
    assert "confidence" not in read_facts(saved)
    assert temperature_of(read_facts(saved)) == 1
    assert Segmenter.from_weights(saved, device="cpu").temperature == 1


def test_a_temperature_travels_with_the_weights(tmp_path):
    path = tmp_path / "weights.safetensors"
    facts = {"temperature": 1.37, "ece_before": 0.08, "ece_after": 0.02, "fitted_on": {"dataset": "simulated"}}
    save_weights(path, build_model(TINY), {"confidence": facts})
    assert read_facts(path)["confidence"] == facts
    assert Segmenter.from_weights(path, device="cpu").temperature == 1.37


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"temperature": 0}', "confidence.temperature is 0: expected a number from 0.05 to 20"),
        ('{"temperature": -1.5}', "confidence.temperature is -1.5"),
        ('{"temperature": NaN}', "without the facts of a model"),  # which JSON does not have
        ('{"temperature": 1e999}', "confidence.temperature is inf"),
        ('{"temperature": 1000}', "confidence.temperature is 1000"),
        ('{"temperature": 1e-9}', "confidence.temperature is 1e-09"),
        ('{"temperature": true}', "confidence.temperature is true"),
        ('{"temperature": "1.3"}', "confidence.temperature is '1.3'"),
        ('{"temperature": [1.3]}', "confidence.temperature is [1.3]"),
        ('{"temperature": null}', "confidence.temperature is null"),
        ("{}", "expected a section with a temperature"),
        ("1.3", "confidence is 1.3: expected a section"),
        ("null", "confidence is null: expected a section"),
    ],
)
def test_what_is_no_temperature_is_refused(saved, text, message):
    facts = json.dumps({**read_facts(saved), "confidence": "here"}).replace('"here"', text)
    save_file(load_file(saved), saved, metadata={"pvd": facts})
    for read in (read_facts, load_model):
        with pytest.raises(WeightsError) as caught:
            read(saved)
        assert message in str(caught.value)


@pytest.mark.parametrize("temperature", [0, -1, float("nan"), float("inf"), 1e6])
def test_an_impossible_temperature_is_not_written(tmp_path, temperature):
    with pytest.raises(UserError, match=r"expected a number from 0.05 to 20"):
        save_weights(tmp_path / "w.safetensors", build_model(TINY), {"confidence": {"temperature": temperature}})
    assert not list(tmp_path.iterdir())
