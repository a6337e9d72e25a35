"""Thousands of damaged weights files: each is refused in a short message or loads as it was written."""

import json
import random
import resource
import struct

import pytest
import torch
from mutations import mutated_bytes, mutated_value

from pvd_core.weights import WeightsError, load_model, read_facts

MOST_GROWTH_KB = 300_000

# Of each test; the many with `make test-slow`.
sizes = pytest.mark.parametrize("num_files", [60, pytest.param(2500, marks=pytest.mark.slow)])


@pytest.fixture
def bounded_memory():
    """Fails the test if the process has grown by more than a bound."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_GROWTH_KB


def loaded(path):
    """(network, facts), or None where the file is refused. Every other error is a failure."""
    message = ""
    try:
        return load_model(path)
    except WeightsError as error:
        message = str(error)
    assert str(path) in message
    assert len(message) < 4000
    return None


def is_same(model, original):
    state = original.state_dict()
    return model.config == original.config and all(
        torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items()
    )


def split(content):
    """(header as a dictionary, the bytes of the tensors) of a safetensors file."""
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def joined(header, tensors):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + tensors


@sizes
def test_damaged_bytes_never_change_a_network_in_silence(num_files, saved, tiny_model, bounded_memory):
    content, chance, refused = saved.read_bytes(), random.Random(1), 0
    for number in range(num_files):
        saved.write_bytes(mutated_bytes(chance, content))
        result = loaded(saved)
        refused += result is None
        assert result is None or is_same(result[0], tiny_model), f"file {number} loads as another network"
    # The rest changed nothing, such as zeros that became zeros.
    assert refused > 0.8 * num_files


@sizes
def test_a_mutated_list_of_tensors_never_changes_a_network_in_silence(num_files, saved, tiny_model, bounded_memory):
    header, tensors = split(saved.read_bytes())
    metadata, table = header.pop("__metadata__"), header
    chance, refused = random.Random(2), 0
    for number in range(num_files):
        if number % 4:
            other = mutated_value(chance, table)
        else:
            # Two tensors of one size change places.
            other = json.loads(json.dumps(table))
            one = chance.choice(list(other))
            sizes = [name for name in other if other[name]["shape"] == other[one]["shape"]]
            two = chance.choice(sizes)
            other[one]["data_offsets"], other[two]["data_offsets"] = (
                table[two]["data_offsets"],
                table[one]["data_offsets"],
            )
        saved.write_bytes(joined({"__metadata__": metadata, **other}, tensors))
        result = loaded(saved)
        refused += result is None
        assert result is None or is_same(result[0], tiny_model), f"file {number} loads as another network"
    assert refused > 0.7 * num_files


_MUTATED = ("model", "classes", "taxonomy", "expected_cloud")


@pytest.mark.parametrize("has_digest", [True, False])
@sizes
def test_mutated_facts_are_refused_or_are_what_the_network_is_built_by(
    num_files, saved, tiny_model, bounded_memory, has_digest
):
    header, tensors = split(saved.read_bytes())
    facts = json.loads(header["__metadata__"]["pvd"])
    chance = random.Random(3 + has_digest)
    for _ in range(num_files):
        other = mutated_value(chance, {name: facts[name] for name in _MUTATED})
        metadata = dict(header["__metadata__"], pvd=json.dumps(other))
        if not has_digest:
            del metadata["pvd_sha256"]
        saved.write_bytes(joined({**header, "__metadata__": metadata}, tensors))
        result = loaded(saved)
        assert result is None or not has_digest
        if result is not None:
            # A file without a taxonomy is one of an earlier version.
            assert read_facts(saved) == result[1] == {"taxonomy": facts["taxonomy"], **other}
            assert result[1]["classes"] == facts["classes"]
            assert result[1]["model"].keys() == facts["model"].keys()
