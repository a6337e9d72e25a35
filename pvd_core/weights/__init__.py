"""Weights of networks: safetensors files with facts about the model, and the converter of official checkpoints."""

from pvd_core.weights.store import WeightsError, load_model, load_state, read_facts, save_weights

__all__ = ["WeightsError", "load_model", "load_state", "read_facts", "save_weights"]
