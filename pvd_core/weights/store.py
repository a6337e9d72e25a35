"""Weights files: safetensors with facts about the model as JSON in the header.

Loading is strict and runs no code: every tensor must be there, with its shape and finite values.
"""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from pvd_core.borders.errors import UserError
from pvd_core.borders.files import written_atomically
from pvd_core.models.build import build_model, model_facts
from pvd_core.models.cylinder3d import Cylinder3D

_HEADER_KEY = "pvd"
_MAX_LISTED = 8


class WeightsError(UserError):
    """Weights that cannot be read or do not fit the network."""


def save_weights(path: str | Path, model: Cylinder3D, facts: Mapping[str, Any] | None = None) -> None:
    """Writes the state of `model` to `path`, whole or not at all. The header holds the settings for `build_model` and
    `facts`, such as training data and commit, which must be JSON-serialisable. Raises UserError if it cannot write."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    header = {_HEADER_KEY: json.dumps({**(facts or {}), "model": model_facts(model)})}
    with written_atomically(path) as temporary:
        try:
            save_file(state, temporary, metadata=header)
        except SafetensorError as error:
            raise OSError(str(error)) from error


def load_model(path: str | Path, device: str | torch.device = "cpu") -> tuple[Cylinder3D, dict[str, Any]]:
    """(network in evaluation mode on `device`, facts) from a file that `save_weights` wrote. Raises WeightsError."""
    facts, state = _read(Path(path))
    model = build_model(facts["model"])
    load_state(model, state, source=str(path))
    return model.to(device).eval(), facts


def read_facts(path: str | Path) -> dict[str, Any]:
    """The facts in the header of a weights file, without reading its tensors. Raises WeightsError."""
    path = Path(path)
    with _opened(path) as file:
        return _facts(file, path)


def load_state(model: nn.Module, state: Mapping[str, torch.Tensor], source: str) -> None:
    """Loads `state` into `model`. WeightsError, which names `source`, lists tensors that are missing or unexpected or
    have another shape or values that are not finite."""
    expected = model.state_dict()
    problems = [f"missing {name} {_shape(expected[name])}" for name in expected if name not in state]
    problems += [f"unexpected {name} {_shape(state[name])}" for name in state if name not in expected]
    for name in expected.keys() & state.keys():
        if expected[name].shape != state[name].shape:
            problems.append(
                f"{name}: the file has shape {_shape(state[name])}, the network expects {_shape(expected[name])}"
            )
        elif not torch.isfinite(state[name]).all():
            problems.append(f"{name}: holds values that are not finite")
    if problems:
        listed = "\n  ".join(sorted(problems)[:_MAX_LISTED])
        more = f"\n  and {len(problems) - _MAX_LISTED} more" if len(problems) > _MAX_LISTED else ""
        raise WeightsError(f"{source} does not fit the network ({len(problems)} problems):\n  {listed}{more}")
    model.load_state_dict(state)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    with _opened(path) as file:
        facts = _facts(file, path)
        return facts, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict


def _opened(path: Path) -> safe_open:
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise WeightsError(f"weights {path}: {what}; expected a .safetensors file")
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError, struct.error) as error:
        raise WeightsError(
            f"weights {path}: not a whole safetensors file ({error}). An official .pt checkpoint goes through "
            f"`pvd convert` first; otherwise copy the file again"
        ) from error


def _facts(file: safe_open, path: Path) -> dict[str, Any]:
    header = (file.metadata() or {}).get(_HEADER_KEY)
    try:
        facts = json.loads(header or "")
        facts["model"]["architecture"]
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            f"weights {path}: a safetensors file without the facts of a model in its header; expected one that "
            f"`pvd train` or `pvd convert` wrote"
        ) from error
    return facts


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"
