"""Weights on disk: safetensors, with the facts of the model as JSON in the header.

Loading is strict and runs no code: every tensor, every shape, every value finite.
"""

import json
import struct
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from pvd_core.borders.errors import UserError
from pvd_core.borders.files import written_atomically
from pvd_core.models.build import build_model, model_facts

_HEADER_KEY = "pvd"
_MAX_LISTED = 8


class WeightsError(UserError):
    """Weights that cannot be read or do not fit."""


def save_weights(path, model, facts=None):
    """Writes the state of `model` to `path`, whole or not at all. `facts` (JSON-able: training data, commit, ...) are
    kept beside what `build_model` needs."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    header = {_HEADER_KEY: json.dumps({**(facts or {}), "model": model_facts(model)})}
    with written_atomically(path) as temporary:
        try:
            save_file(state, temporary, metadata=header)
        except SafetensorError as error:
            raise OSError(str(error)) from error


def load_model(path, device="cpu"):
    """(network in evaluation mode on `device`, facts) of a file that `save_weights` wrote; WeightsError says what does
    not fit."""
    facts, state = _read(Path(path))
    model = build_model(facts["model"])
    load_state(model, state, source=str(path))
    return model.to(device).eval(), facts


def read_facts(path):
    """The facts in the header of a weights file; the tensors stay on disk."""
    with _opened(Path(path)) as file:
        return _facts(file, path)


def load_state(model, state, source):
    """Puts the tensors of `state` into `model`, strictly."""
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


def _read(path):
    with _opened(path) as file:
        facts = _facts(file, path)
        return facts, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict


def _opened(path):
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


def _facts(file, path):
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


def _shape(tensor):
    return "x".join(map(str, tensor.shape)) or "scalar"
