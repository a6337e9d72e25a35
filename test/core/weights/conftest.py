"""What the tests of weights files share: a tiny network, and a file of it."""

import pytest
import torch
from ros_weights import TINY

from pvd_core.models import build_model
from pvd_core.weights import save_weights


@pytest.fixture(scope="session")
def tiny_model():
    torch.manual_seed(4)
    return build_model(TINY).eval()


@pytest.fixture
def saved(tiny_model, tmp_path):
    """A weights file of the tiny network."""
    path = tmp_path / "weights.safetensors"
    save_weights(path, tiny_model, {"training_data": "simulated"})
    return path
