"""Weights of networks: safetensors files with facts about the model, and the converter of official checkpoints."""

from pvd_core.weights.confidence import temperature_of
from pvd_core.weights.errors import WeightsError
from pvd_core.weights.expected import ExpectedCloud, expected_cloud
from pvd_core.weights.facts import past_scans_of, taxonomy_of
from pvd_core.weights.source import check_different, weights_file
from pvd_core.weights.store import load_model, load_state, read_facts, save_weights

__all__ = [
    "ExpectedCloud",
    "WeightsError",
    "check_different",
    "expected_cloud",
    "load_model",
    "load_state",
    "past_scans_of",
    "read_facts",
    "save_weights",
    "taxonomy_of",
    "temperature_of",
    "weights_file",
]
