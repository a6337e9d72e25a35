"""Weights files: safetensors with facts about the model as JSON in the header, and a digest of both.

Loading is strict and runs no code: every tensor must be there, with its shape and finite values.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from pvd_core.borders.errors import UserError
from pvd_core.borders.files import written_atomically
from pvd_core.borders.settings import plain
from pvd_core.models.bare_statistics import statistics_of
from pvd_core.models.build import build_model, build_shapes, model_facts
from pvd_core.models.network import Network
from pvd_core.weights.confidence import temperature_of
from pvd_core.weights.errors import WeightsError
from pvd_core.weights.expected import EXPECTED_CLOUD_KEY, expected_cloud
from pvd_core.weights.facts import TAXONOMY_KEY, checked_facts, class_count, taxonomy_of
from pvd_core.weights.source import opened, weights_file

_FACTS, _DIGEST = "pvd", "pvd_sha256"
_BARE = "without_intensity."  # before the names of statistics for clouds without intensity, which not all files have
_MAX_LISTED = 8
_LARGEST_ERROR_OF_HALF = 1e-3  # relative to the largest value; 11 bits of it have half of that
_FLOATS, _INTEGERS = ("F16", "BF16", "F32", "F64"), ("I64",)


def save_weights(
    path: str | Path, model: Network, facts: Mapping[str, Any] | None = None, in_half: bool = False
) -> None:
    """Writes the state of `model` to `path`, whole or not at all. The header holds the settings for `build_model`, the
    classes, what is expected of clouds, and `facts`, such as training data and commit, which must be JSON-serialisable.
    Of them "taxonomy" names the classes, those of SemanticKITTI if it is left out. `in_half`: kernels and matrices in
    float16, for a file of half the size; not for weights that training starts from again and again. UserError if it
    cannot write; ValueError for a network of another number of classes, or whose numbers float16 does not hold."""
    facts = dict(facts or {})
    taxonomy = taxonomy_of(facts)
    if model.config.num_classes != taxonomy.num_classes:
        raise ValueError(f"the network has scores for {model.config.num_classes} classes, {class_count(taxonomy)}")
    temperature_of(facts)
    facts |= {TAXONOMY_KEY: taxonomy.name, EXPECTED_CLOUD_KEY: plain(expected_cloud(facts))}
    text = json.dumps({**facts, "classes": taxonomy.names, "model": model_facts(model)})
    tensors = model.state_dict() | _prefixed(model.bare_statistics or {})
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    if in_half:
        state = {name: _in_half(name, tensor) if tensor.dim() > 1 else tensor for name, tensor in state.items()}
    with written_atomically(path) as temporary:
        try:
            save_file(state, temporary, metadata={_FACTS: text, _DIGEST: _digest(text, state)})
        except SafetensorError as error:
            raise OSError(str(error)) from error


def load_model(path: str | Path, device: str | torch.device = "cpu") -> tuple[Network, dict[str, Any]]:
    """(network in evaluation mode on `device`, facts) from a file that `save_weights` wrote, or from the best one in
    the folder of a training run. Nothing is built before header and shapes fit. Raises WeightsError."""
    path = weights_file(path)
    with opened(path) as file:
        facts = _facts(file, path)
        expected = build_shapes(facts["model"])
        found = _tensors_in(file)
        tensors = dict(expected.state_dict())
        if any(name.startswith(_BARE) for name in found):
            tensors |= _prefixed(statistics_of(expected))
        _refuse(list(_unlike(tensors, found)), str(path))
        state = {name: file.get_tensor(name) for name in tensors}
        _check_digest(file, state, path)
    model = build_model(facts["model"])
    bare = {name.removeprefix(_BARE): state.pop(name) for name in list(state) if name.startswith(_BARE)}
    if bare:
        # Checked as the usual statistics are: loaded in their place, before these.
        load_state(model, state | bare, source=f"{path}, {_BARE}*")
        model.bare_statistics = {name: tensor.to(device) for name, tensor in bare.items()}
    load_state(model, state, source=str(path))
    return model.to(device).eval(), facts


def read_facts(path: str | Path) -> dict[str, Any]:
    """The facts in the header of a weights file, or of the best one in the folder of a training run, without reading
    its tensors. Raises WeightsError."""
    path = weights_file(path)
    with opened(path) as file:
        return _facts(file, path)


def load_state(model: nn.Module, state: Mapping[str, torch.Tensor], source: str) -> None:
    """Loads `state` into `model`. WeightsError, which names `source`, lists tensors that are missing or unexpected or
    have another shape or type or impossible values."""
    expected = model.state_dict()
    problems = list(_unlike(expected, {name: (tuple(t.shape), _kind_of(t)) for name, t in state.items()}))
    for name in expected.keys() & state.keys():
        # As the network will hold it: a large float64 is infinite in float32.
        values = state[name].to(expected[name].dtype)
        if not torch.isfinite(values).all():
            problems.append(f"{name}: holds values that are not finite")
        elif name.endswith("running_var") and (values < 0).any():
            problems.append(f"{name}: holds variances below 0")
    _refuse(problems, source)
    model.load_state_dict(state)


def _in_half(name: str, tensor: torch.Tensor) -> torch.Tensor:
    half = tensor.half()
    largest, error = tensor.abs().max(), (half.to(tensor.dtype) - tensor).abs().max()
    if not error <= _LARGEST_ERROR_OF_HALF * largest:  # nor where one of them is not finite
        raise ValueError(f"float16 does not hold {name}, whose largest value is {largest:.3g}: save it as it is")
    return half


def _prefixed(statistics: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """By their names in the file."""
    return {f"{_BARE}{name}": tensor for name, tensor in statistics.items()}


def _facts(file: safe_open, path: Path) -> dict[str, Any]:
    try:
        return checked_facts((file.metadata() or {}).get(_FACTS))
    except UserError as error:
        raise WeightsError(f"weights {path}: {error}") from error


def _tensors_in(file: safe_open) -> dict[str, tuple[tuple[int, ...], str]]:
    """{name: (shape, kind of numbers)} of the tensors in a file; none of them is read."""
    slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    return {name: (tuple(each.get_shape()), _kind(each.get_dtype())) for name, each in slices.items()}


def _unlike(expected: Mapping[str, torch.Tensor], found: Mapping[str, tuple[tuple[int, ...], str]]) -> Iterator[str]:
    """A line for each tensor that is missing or unexpected or differs in shape or kind of numbers."""
    for name, tensor in expected.items():
        if name not in found:
            yield f"missing {name} {_shape(tuple(tensor.shape))}"
            continue
        shape, kind = found[name]
        if shape != tuple(tensor.shape):
            yield (f"{name}: the file has shape {_shape(shape)}, the network expects {_shape(tuple(tensor.shape))}")
        elif kind != _kind_of(tensor):
            yield f"{name}: the file holds {kind}, the network expects {_kind_of(tensor)}"
    for name in found.keys() - expected.keys():
        yield f"unexpected {name[:200]} {_shape(found[name][0])}"


def _refuse(problems: list[str], source: str) -> None:
    """Raises WeightsError if there are problems."""
    if problems:
        listed = "\n  ".join(sorted(problems)[:_MAX_LISTED])
        more = f"\n  and {len(problems) - _MAX_LISTED} more" if len(problems) > _MAX_LISTED else ""
        raise WeightsError(f"{source} does not fit the network ({len(problems)} problems):\n  {listed}{more}")


def _check_digest(file: safe_open, state: Mapping[str, torch.Tensor], path: Path) -> None:
    """Files of earlier versions have no digest."""
    metadata = file.metadata()
    if _DIGEST in metadata and metadata[_DIGEST] != _digest(metadata[_FACTS], state):
        raise WeightsError(
            f"weights {path}: header or tensors have changed since they were written (by their SHA-256); copy the file "
            "again"
        )


def _digest(text: str, state: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 of the facts as JSON and of all tensors with their names, types and shapes."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(state):
        tensor = state[name]
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _kind_of(tensor: torch.Tensor) -> str:
    if tensor.is_floating_point():
        return "floating-point numbers"
    return "whole numbers" if tensor.dtype == torch.int64 else f"{tensor.dtype}".removeprefix("torch.")


def _kind(dtype: str) -> str:
    """The same for a type as safetensors names it."""
    if dtype in _FLOATS:
        return "floating-point numbers"
    return "whole numbers" if dtype in _INTEGERS else dtype


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"
