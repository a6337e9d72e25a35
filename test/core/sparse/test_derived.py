"""Tensors kept with a weight follow the weight."""

import gc

import pytest
import torch

from pvd_core.sparse import derived as module
from pvd_core.sparse.derived import derived, forget
from pvd_core.sparse.tensor import autocast


@pytest.fixture
def weight():
    return torch.nn.Parameter(torch.randn(4, 5))


def halved(weight, built):
    return derived(weight, "half", lambda weight: built.append(1) or weight / 2)


def test_what_is_derived_is_built_once_for_each_name(weight):
    built = []
    with torch.inference_mode():
        first, second = halved(weight, built), halved(weight, built)
        other = derived(weight, "double", lambda weight: weight * 2)
    assert first is second
    assert len(built) == 1
    assert torch.equal(other, weight * 2)
    assert not first.requires_grad


@pytest.mark.parametrize("is_inference", [False, True])
def test_it_is_built_anew_when_the_weight_changes(weight, is_inference):
    changes = [
        lambda: weight.mul_(3),
        lambda: holder.load_state_dict({"weight": torch.ones(4, 5)}),
        lambda: setattr(weight, "data", torch.full((4, 5), 7.0)),
    ]
    holder = torch.nn.Module()
    holder.weight = weight
    built = []
    for change in changes:
        with torch.inference_mode(is_inference), torch.no_grad():
            halved(weight, built)
            change()
            assert torch.equal(halved(weight, built), weight / 2)


def test_training_forgets_it_even_where_the_optimizer_leaves_no_trace(weight):
    optimizer = torch.optim.Adam([weight], fused=True)
    with torch.autocast("cpu", torch.bfloat16):
        with torch.inference_mode():
            autocast(weight)
        (cast,) = autocast(weight)
        cast.float().square().sum().backward()
        optimizer.step()
        with torch.inference_mode():
            (actual,) = autocast(weight)
    assert torch.equal(actual, weight.bfloat16())


def test_training_in_float32_forgets_it_too(weight):
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        autocast(weight)
    autocast(weight)
    assert weight not in module._KEPT


def test_casts_of_weights_are_kept_in_inference_unless_autocast_may_keep_none(weight):
    with torch.inference_mode():
        with torch.autocast("cpu", torch.bfloat16):
            (first,), (second,) = autocast(weight), autocast(weight)
        with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
            (third,), (fourth,) = autocast(weight), autocast(weight)
    assert first is second
    assert third is not fourth
    assert all(torch.equal(cast, weight.bfloat16()) for cast in (first, third))


def test_something_derived_from_what_was_derived_is_kept_as_well(weight):
    with torch.inference_mode():
        results = [halved(derived(weight, "twin", torch.clone), []) for _ in range(2)]
    assert results[0] is results[1]


def test_nothing_outlives_the_weight(weight):
    gc.collect()  # what other tests left
    lone = torch.nn.Parameter(torch.zeros(3))
    halved(lone, [])
    num_kept = len(module._KEPT)
    del lone
    gc.collect()
    assert len(module._KEPT) == num_kept - 1


def test_forgetting_a_weight_that_has_nothing_is_fine(weight):
    forget(weight)
    assert weight not in module._KEPT
